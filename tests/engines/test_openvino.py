"""The OpenVINO engine keeps the protocol and agrees with transformers."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from medllm.data.prompts import Prompts
from medllm.engines import Engine, open_engine
from medllm.errors import UserError
from medllm.model.folder import copy_tokenizer, load_model

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="extra `peers` is not installed")  # no import: it would report
QUESTIONS = ["감기의 증상은?", "고혈압에는 어떤 약을 쓰나요?", "안녕", "①②㎎ 3.5 mg/dL 😀", "열이 나고 배가 아파요. 무슨 과로 가야 하나요?"]
COUNT = 24


@pytest.fixture(scope="module")
def prompts(tiny_folder: Path) -> list[list[int]]:
    encoder = Prompts.load(tiny_folder)
    return [encoder.question(question) for question in QUESTIONS]


@pytest.fixture(scope="module")
def folders(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, prompts: list[list[int]]) -> dict[str, Path]:
    """The tiny model with end token and the token it would generate third for the first prompt swapped: for both engines."""
    import torch

    from medllm.quantize.openvino import quantize_openvino

    reference = open_engine(tiny_folder, threads=1, dtype="fp32")
    third, end = reference.generate(prompts[:1], max_new_tokens=3)[0][2], Prompts.load(tiny_folder).eos_id
    root = tmp_path_factory.mktemp("openvino")
    model = load_model(tiny_folder)
    with torch.no_grad():
        rows = model.get_output_embeddings().weight
        rows[[third, end]] = rows[[end, third]]
    model.generation_config.eos_token_id = [end, 7]
    model.to(torch.bfloat16).save_pretrained(root / "hf")
    copy_tokenizer(tiny_folder, root / "hf")
    quantize_openvino(root / "hf", Path("unused"), root / "ov", weights="f16")
    return {"hf": root / "hf", "ov": root / "ov"}


@pytest.fixture(scope="module")
def reference(folders: dict[str, Path]) -> Engine:
    return open_engine(folders["hf"], threads=1, dtype="fp32")


@pytest.fixture(scope="module")
def engine(folders: dict[str, Path]) -> Iterator[Engine]:
    opened = open_engine(folders["ov"], threads=1)
    yield opened
    opened.close()
    with pytest.raises(RuntimeError, match="closed"):
        opened.generate([[5]], max_new_tokens=1)


def test_batched_single_and_streamed_answers_are_those_of_transformers(engine: Engine, reference: Engine, prompts: list[list[int]]) -> None:
    assert (engine.name, engine.dtype) == ("openvino", "f16")
    batched = engine.generate(prompts, max_new_tokens=COUNT)
    assert batched == reference.generate(prompts, max_new_tokens=COUNT)
    assert batched == [engine.generate([prompt], max_new_tokens=COUNT)[0] for prompt in prompts]
    assert batched == [list(engine.stream(prompt, max_new_tokens=COUNT)) for prompt in prompts]
    assert len({tuple(ids) for ids in batched}) == len(prompts)  # different prompts, different answers: order is kept
    assert len(batched[0]) == 2  # the end token ends an answer and is left out
    ignored = engine.generate(prompts, max_new_tokens=COUNT, ignore_eos=True)
    assert ignored == reference.generate(prompts, max_new_tokens=COUNT, ignore_eos=True)
    assert {len(ids) for ids in ignored} == {COUNT}


def test_calls_between_two_streamed_tokens_change_nothing(engine: Engine, prompts: list[list[int]]) -> None:
    alone = list(engine.stream(prompts[1], max_new_tokens=6))
    mixed = []
    for token in engine.stream(prompts[1], max_new_tokens=6):
        mixed.append(token)
        engine.generate(prompts[:2], max_new_tokens=2)
    assert mixed == alone


def test_probabilities_are_those_of_transformers(engine: Engine, reference: Engine, prompts: list[list[int]]) -> None:
    sequences = [*prompts, prompts[0][:1], prompts[1][:2]]
    starts = [1, 4, 2, 3, len(prompts[4]) - 1, 1, 1]
    for ids, found, wanted in zip(sequences, engine.token_logprobs(sequences), reference.token_logprobs(sequences), strict=True):
        assert len(found) == len(ids) - 1
        assert found == pytest.approx(wanted, abs=0.02)
    rows = zip(sequences, starts, engine.distributions(sequences, starts), reference.distributions(sequences[:-2], starts), strict=False)
    for ids, start, found, wanted in rows:
        assert found.shape == wanted.shape == (len(ids) - start, 572)
        assert np.abs(found - wanted).max() < 0.05
    assert engine.end_ids() == reference.end_ids() == {Prompts.load(Path(engine.path).parent).eos_id, 7}  # type: ignore[attr-defined]


def test_arrivals_and_empty_input(engine: Engine, prompts: list[list[int]]) -> None:
    arrivals = engine.timed(prompts, max_new_tokens=5, users=2)
    assert [len(seconds) for seconds in arrivals] == [5] * len(prompts)
    assert all(0 < a < b for seconds in arrivals for a, b in itertools.pairwise(seconds))
    assert engine.generate([], max_new_tokens=4) == []
    assert engine.token_logprobs([]) == []


def test_wrong_input_is_one_line(folders: dict[str, Path], engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "openvino_model.xml").write_text("<net/>", encoding="utf-8")
    for folder, knobs in ((folders["ov"], {"dtype": "fp32"}), (folders["ov"], {"compiled": True}), (tmp_path, {})):
        with pytest.raises(UserError) as error:
            open_engine(folder, threads=1, **knobs)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    for ids in ([99999], [-1]):
        with pytest.raises(UserError, match="vocabulary of 572"):
            engine.generate([ids], max_new_tokens=2)


def test_needs_no_torch_reports_to_nobody_and_is_quiet(folders: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from medllm.engines import open_engine\n"
        "e = open_engine(Path(sys.argv[1]), threads=1); e.generate([[5, 6]], max_new_tokens=3); e.token_logprobs([[5, 6, 7]]); e.close()\n"
        "assert not {'torch', 'transformers', 'peft', 'openvino_telemetry.main'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folders["ov"])], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_openvino_one_line_says_what_to_install(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r'pip install -e "\.\[peers\]"$'):
        open_engine(folders["ov"], threads=1)
