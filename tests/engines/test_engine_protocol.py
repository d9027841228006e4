"""Both engines keep the protocol and agree with each other."""

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from medllm.data.prompts import Prompts
from medllm.engines import Engine, open_engine
from medllm.errors import UserError
from medllm.model.folder import copy_tokenizer

QUESTIONS = [
    "감기의 증상은?",
    "고혈압에는 어떤 약을 쓰나요?",
    "안녕",
    "①②㎎ 3.5 mg/dL 😀",
    "ㅋㅋ 열이 나고 배가 아파요. 무슨 과로 가야 하나요?",
]


@pytest.fixture(scope="module")
def prompts(tiny_folder: Path) -> list[list[int]]:
    encoder = Prompts.load(tiny_folder)
    return [encoder.question(question) for question in QUESTIONS]


@pytest.fixture(scope="module")
def reference(tiny_folder: Path) -> Engine:
    return open_engine(tiny_folder, threads=1, dtype="fp32")


@pytest.fixture(scope="module", params=["transformers", "llama.cpp", "slots"])
def engine(request: pytest.FixtureRequest, tiny_folder: Path, tiny_gguf: dict[str, Path]) -> Iterator[Engine]:
    from medllm.engines.llamacpp_engine import LlamaCppEngine

    if request.param == "slots":
        opened: Engine = LlamaCppEngine(tiny_gguf["f16"], threads=1, slots=3)
    elif request.param == "llama.cpp":
        opened = open_engine(tiny_gguf["f16"], threads=1)
    else:
        opened = open_engine(tiny_folder, threads=1, dtype="fp32")
    yield opened
    opened.close()


def test_batched_single_and_streamed_decoding_agree(engine: Engine, prompts: list[list[int]], reference: Engine) -> None:
    batched = engine.generate(prompts, max_new_tokens=24)
    assert batched == [engine.generate([prompt], max_new_tokens=24)[0] for prompt in prompts]
    assert batched == [list(engine.stream(prompt, max_new_tokens=24)) for prompt in prompts]
    assert batched == reference.generate(prompts, max_new_tokens=24)
    assert len({tuple(ids) for ids in batched}) == len(prompts)  # different prompts, different answers: order is kept


def test_logprobs_are_those_of_greedy_decoding(engine: Engine, prompts: list[list[int]], reference: Engine) -> None:
    sequences = [prompt + new for prompt, new in zip(prompts, engine.generate(prompts, max_new_tokens=6), strict=True)]
    sequences += [sequences[0][:1], sequences[1][:2]]
    found, expected = engine.token_logprobs(sequences), reference.token_logprobs(sequences)
    for ids, values, wanted in zip(sequences, found, expected, strict=True):
        assert len(values) == len(ids) - 1
        assert values == pytest.approx(wanted, abs=0.02)
    # all continuations of one prompt have probabilities that sum to one
    vocabulary = engine.token_logprobs([[*prompts[0], token] for token in range(572)])
    assert sum(math.exp(values[-1]) for values in vocabulary) == pytest.approx(1.0, abs=0.01)


def test_distributions_hold_the_logprobs_of_the_tokens(engine: Engine, prompts: list[list[int]], reference: Engine) -> None:
    starts = [1, 3, len(prompts[2]) - 1, 2, 1]
    found, wanted = engine.distributions(prompts, starts), engine.token_logprobs(prompts)
    for ids, start, values, scores, expected in zip(
        prompts, starts, found, wanted, reference.distributions(prompts, starts), strict=True
    ):
        assert values.shape == expected.shape == (len(ids) - start, values.shape[1])
        assert values.shape[1] >= max(ids) + 1
        assert np.exp(values).sum(axis=1) == pytest.approx(np.ones(len(values)), abs=1e-3)
        assert [row[token] for row, token in zip(values, ids[start:], strict=True)] == pytest.approx(scores[start - 1 :], abs=1e-4)
        assert np.abs(np.exp(values) - np.exp(expected)).max() < 0.01


def test_the_saved_end_token(engine: Engine, tiny_folder: Path) -> None:
    assert engine.end_ids() == {Prompts.load(tiny_folder).eos_id}


@pytest.mark.parametrize(("users", "overlap"), [(1, False), (3, True)])
def test_arrivals_of_every_token(engine: Engine, prompts: list[list[int]], users: int, overlap: bool) -> None:
    alone = engine.generate(prompts, max_new_tokens=24)
    engine.timed(prompts[:1], max_new_tokens=2, users=users)  # llama.cpp opens its slots
    start = time.perf_counter()
    arrivals = engine.timed(prompts[:3], max_new_tokens=24, users=users)
    wall = time.perf_counter() - start
    assert [len(times) for times in arrivals] == [24] * 3  # also where a character is several tokens, which llama.cpp hands out together
    assert all(0 < before < after <= wall for times in arrivals for before, after in pairwise(times))
    # counted from the sending: one after the other they add up to no more than the wall time, at once to much more
    assert (sum(times[-1] for times in arrivals) > 1.5 * wall) == overlap
    assert engine.generate(prompts, max_new_tokens=24) == alone  # as before, also with more slots
    assert engine.timed([], max_new_tokens=4, users=users) == []


def test_nothing_in_nothing_out(engine: Engine) -> None:
    assert engine.generate([], max_new_tokens=4) == []
    assert engine.token_logprobs([]) == []


@pytest.mark.parametrize(("scheme", "bound"), [("f16", 0.02), ("q8_0", 0.2), ("q4_0", 2.0)])
def test_quantised_logprobs_stay_near(
    scheme: str, bound: float, tiny_gguf: dict[str, Path], prompts: list[list[int]], reference: Engine
) -> None:
    engine = open_engine(tiny_gguf[scheme], threads=1)
    pairs = zip(engine.token_logprobs(prompts), reference.token_logprobs(prompts), strict=True)
    worst = max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True))
    assert worst < bound
    assert engine.dtype == scheme
    engine.close()


@pytest.fixture(scope="module")
def stops_third(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, reference: Engine, prompts: list[list[int]],
    plain_gguf: Callable[..., object],
) -> dict[str, Path]:  # fmt: skip
    """The tiny model with end token and the token it generates third swapped in its output matrix, for both engines."""
    import torch

    from medllm.model.folder import load_model

    third, end = reference.generate(prompts[:1], max_new_tokens=3)[0][2], Prompts.load(tiny_folder).eos_id
    model = load_model(tiny_folder)
    with torch.no_grad():
        rows = model.get_output_embeddings().weight
        rows[[third, end]] = rows[[end, third]]
    root = tmp_path_factory.mktemp("end")
    model.to(torch.bfloat16).save_pretrained(root / "hf")
    copy_tokenizer(tiny_folder, root / "hf")
    plain_gguf(root / "hf", root / "gguf", "f16")
    return {"hf": root / "hf", "gguf": root / "gguf"}


def test_end_token_from_the_prompt_file(stops_third: dict[str, Path], prompts: list[list[int]], reference: Engine) -> None:
    free = reference.generate(prompts[:1], max_new_tokens=12)[0]
    for folder in stops_third.values():
        engine = open_engine(folder, threads=1, dtype="fp32" if (folder / "config.json").is_file() else None)
        assert engine.generate(prompts[:1], max_new_tokens=12)[0] == free[:2]
        assert list(engine.stream(prompts[0], max_new_tokens=12)) == free[:2]
        engine.close()


def test_ignored_end_token_gives_exactly_n(stops_third: dict[str, Path], prompts: list[list[int]]) -> None:
    end = Prompts.load(stops_third["hf"]).eos_id
    for folder in stops_third.values():
        engine = open_engine(folder, threads=1, dtype="fp32" if (folder / "config.json").is_file() else None)
        obeyed = engine.generate(prompts, max_new_tokens=12)
        ignored = engine.generate(prompts, max_new_tokens=12, ignore_eos=True)
        assert len(obeyed[0]) == 2
        assert [len(ids) for ids in ignored] == [12] * len(prompts)
        assert [ids[: len(short)] for ids, short in zip(ignored, obeyed, strict=True)] == obeyed
        # transformers keeps the end token, llama.cpp takes the next best in its place
        assert (end in ignored[0]) == (engine.name == "transformers")
        assert engine.generate(prompts[:1], max_new_tokens=1, ignore_eos=True) == [ignored[0][:1]]
        engine.close()


def test_wrong_input_is_one_line(tiny_folder: Path, tiny_gguf: dict[str, Path], tmp_path: Path, prompts: list[list[int]]) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.gguf").write_bytes(b"not a model")
    for folder, dtype, threads in (
        (tmp_path, None, 1),
        (tiny_folder, "int3", 1),
        (tiny_gguf["q8_0"], "fp32", 1),
        (tiny_folder, None, 0),
        (broken, None, 1),
    ):
        with pytest.raises(UserError) as error:
            open_engine(folder, threads=threads, dtype=dtype)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="nothing to compile"):
        open_engine(tiny_gguf["q8_0"], threads=1, compiled=True)
    engine = open_engine(tiny_gguf["q8_0"], threads=1)
    for ids in (prompts[0] * 100, [99999]):
        with pytest.raises(UserError):
            engine.generate([ids], max_new_tokens=2)
        with pytest.raises(UserError):
            engine.timed([ids], max_new_tokens=2, users=2)
    with pytest.raises(UserError, match="context"):
        engine.generate([(prompts[0] * 40)[:250]], max_new_tokens=40)
    with pytest.raises(UserError, match="context"):
        engine.timed([(prompts[0] * 40)[:250]], max_new_tokens=40, users=1)


def test_gguf_needs_no_torch_and_is_quiet(tiny_gguf: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from medllm.engines import open_engine\n"
        "e = open_engine(Path(sys.argv[1]), threads=1); e.generate([[5, 6]], max_new_tokens=3); list(e.stream([5], max_new_tokens=2))\n"
        "assert 'gguf' not in sys.modules and 'numpy' not in sys.modules\n"
        "e.token_logprobs([[5, 6, 7]]); e.close()\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_gguf["q4_0"])], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
