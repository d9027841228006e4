"""Public Korean tasks by lm-eval: our language model against lm-eval's own on the same weights, tasks from local files, refusals."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from public_stand_ins import FILES, LICENCE, SUBJECT, TASKS, WORDS, with_bos, write

from medllm.engines import Engine, open_engine
from medllm.engines.context import context_length
from medllm.errors import UserError
from medllm.public_tasks.local_data import FAMILIES, single_tasks, task_manager
from medllm.public_tasks.run import open_whole, run_public

PAIRS = [
    ("열이 나면 어느 과로 가나요? 답변:", " 내과"),
    ("열이 나면 어느 과로 가나요? 답변: ", "내과"),  # the space belongs to the continuation
    ("열이 나면 어느 과로 가나요?\n답변:", " 내과"),
    ("열이 나면 어느 과로 가나요?\n답변:", " 외과"),  # differs in the last tokens only
    ("고혈압의\t", " 증상은  두통입니다.\n"),
    ("", "당뇨병"),
    ("감기 환자는 3일 동안 경과를 관찰합니다. " * 40, "그리고 쉽니다."),  # longer than the context of 256
    ("끝났다<|endoftext|>질문:", " 감기"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    for name, rows in FILES.items():
        write(folder / name, rows)
    return folder


@pytest.fixture
def own(data: Path, tmp_path: Path) -> Path:
    """The files, to be changed."""
    return Path(shutil.copytree(data, tmp_path / "data"))


@pytest.fixture(scope="module")
def fp32(tiny_folder: Path) -> Engine:
    return open_engine(tiny_folder, threads=1, dtype="fp32")


@pytest.fixture
def public(tiny_folder: Path, fp32: Engine, data: Path) -> Callable[..., dict[str, Any]]:
    def run(*tasks: str, **knobs: Any) -> dict[str, Any]:
        plain = {"limit": None, "num_fewshot": None, "chat": False, "seed": 1234, "finished": {}, "on_task": lambda name, row: None}
        return run_public(**{"folder": tiny_folder, "engine": fp32, "tasks": tasks, "data": data, **plain, **knobs})  # type: ignore[arg-type]

    return run


def instances(kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=given, idx=0, metadata=("t", 0, 1)) for given in arguments]


@pytest.mark.parametrize("bos", [False, True])
def test_agrees_with_the_model_of_lm_eval(bos: bool, tiny_folder: Path, tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    from medllm.public_tasks.language_model import EngineLM

    folder = with_bos(tiny_folder, tmp_path / "bos") if bos else tiny_folder
    theirs = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=4)
    mine = EngineLM(open_engine(folder, threads=1, dtype="fp32"), folder, max_length=context_length(folder))
    assert mine.max_length == theirs.max_length == 256
    assert mine.prefix_token_id == theirs.prefix_token_id
    for text in (text for pair in PAIRS for text in pair if text):
        assert mine.tok_encode(text) == theirs.tok_encode(text)

    pairs = instances("loglikelihood", [pair for pair in PAIRS if len(pair[0]) < 100])
    likeliest = theirs.tok_decode(mine._engine.generate([mine.tok_encode("질문:")], max_new_tokens=1)[0])
    greedy = instances("loglikelihood", [("질문:", likeliest)])
    for (value, exact), (value_theirs, exact_theirs) in zip(
        mine.loglikelihood(pairs + greedy), theirs.loglikelihood(pairs + greedy), strict=True
    ):
        assert value == pytest.approx(value_theirs, abs=2e-3)
        assert exact == exact_theirs
    assert exact  # the last of them
    assert mine.truncated == 0
    texts = instances("loglikelihood_rolling", [("감기의 대표 증상은 무엇인가요?",)])
    assert mine.loglikelihood_rolling(texts) == pytest.approx(theirs.loglikelihood_rolling(texts), abs=2e-3)
    until = {"until": ["다", "\n"], "max_gen_toks": 40, "do_sample": False}
    asked = instances("generate_until", [("질문: 감기", dict(until)), ("천식 환자는", dict(until))])
    assert mine.generate_until(asked) == theirs.generate_until(asked)
    turns = [{"role": "user", "content": "감기는?"}, {"role": "assistant", "content": "내과"}, {"role": "user", "content": "위염은?"}]
    theirs.tokenizer.chat_template = mine._prompts.template.chat_template()
    assert mine.apply_chat_template(turns) == theirs.apply_chat_template(turns)
    cut = {"add_generation_prompt": False}
    assert mine.apply_chat_template(turns[:2], **cut) == theirs.apply_chat_template(turns[:2], **cut)


def test_long_contexts_lose_their_start(tiny_folder: Path, fp32: Engine) -> None:
    from medllm.public_tasks.language_model import EngineLM

    model = EngineLM(fp32, tiny_folder, max_length=256)
    long = next(pair for pair in PAIRS if len(pair[0]) > 100)
    context, continuation = model._encode_pair(*long)
    kept = (context + continuation)[-256:]
    want = sum(fp32.token_logprobs([kept])[0][-len(continuation) :])
    assert len(context) > 256
    assert model.loglikelihood(instances("loglikelihood", [long]))[0][0] == pytest.approx(want, abs=1e-3)
    assert model.truncated == 1
    rolled = model.loglikelihood_rolling(instances("loglikelihood_rolling", [(long[0],)]))[0]
    ids = model.tok_encode(long[0])
    first = sum(fp32.token_logprobs([[model.prefix_token_id, *ids[:255]]])[0])
    assert rolled == pytest.approx(first + sum(fp32.token_logprobs([ids[-256:]])[0][255 - len(ids) :]), abs=1e-2)
    answer = model.generate_until(instances("generate_until", [(long[0], {"until": [], "max_gen_toks": 1000, "do_sample": False})]))[0]
    assert answer == model._prompts.decode(fp32.generate([ids[-128:]], max_new_tokens=128)[0])
    with pytest.raises(UserError, match="answer greedily only"):
        model.generate_until(instances("generate_until", [("감기", {"do_sample": True, "temperature": 0.8})]))
    with pytest.raises(UserError, match="no system turn"):
        model.apply_chat_template([{"role": "system", "content": "의사입니다."}])


def test_both_engines_give_the_same_numbers(
    tiny_folder: Path, tiny_gguf: dict[str, Path], fp32: Engine, public: Callable[..., dict[str, Any]]
) -> None:
    from medllm.public_tasks.language_model import EngineLM

    pairs = instances("loglikelihood", PAIRS)
    llama = open_whole(tiny_gguf["f16"], threads=1, dtype=None)
    assert context_length(tiny_gguf["f16"]) == 256
    values = [
        [value for value, _ in EngineLM(engine, folder, max_length=256).loglikelihood(pairs)]
        for engine, folder in ((fp32, tiny_folder), (llama, tiny_gguf["f16"]))
    ]
    np.testing.assert_allclose(values[0], values[1], atol=0.02)
    names = ("kormedmcqa_doctor", "kmmlu_health")  # one is answered, one is scored
    mine, theirs = public(*names, limit=2), public(*names, limit=2, folder=tiny_gguf["f16"], engine=llama)
    assert mine.keys() == theirs.keys()
    assert {name: theirs[f"{name}_n"] for name in names} == dict.fromkeys(names, 2)


def test_flat_metrics_of_tasks_from_files(
    public: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    import datasets

    monkeypatch.setitem(sys.modules, "evaluate", None)  # it loads scripts from the hub
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows: dict[str, Any] = {}
    metrics = public(*TASKS, on_task=rows.__setitem__)
    assert {name: metrics[f"{name}_n"] for name in TASKS} == dict(zip(TASKS, (5, 4, 4, 4, 5), strict=True))
    assert [metrics[f"{name}_version"] for name in TASKS] == [3.0, 2.0, 1.0, 1.0, 1.0]
    assert {0.0 <= metrics[f"{name}_acc"] <= 1.0 for name in TASKS[1:]} == {True}
    assert {"kormedmcqa_doctor_exact_match", "kormedmcqa_doctor_exact_match_stderr", "kobest_boolq_f1"} <= metrics.keys()
    assert "kobest_boolq_f1_stderr" not in metrics  # lm-eval gives none
    assert tuple(rows) == TASKS
    assert not caplog.records
    assert {name for name in TASKS if f"{name}_max_gen_toks" in metrics} == {TASKS[0]}
    assert metrics["kormedmcqa_doctor_max_gen_toks"] == 128  # 1024 in lm-eval; half of this model's context
    assert not (tmp_path / "cache").exists()  # no item is left behind
    assert public(*TASKS, finished=rows, engine=None) == metrics  # nothing is run again, so no engine is needed


def test_limit_examples_and_template_reach_the_prompts(public: Callable[..., dict[str, Any]], fp32: Engine) -> None:
    class Seen:
        """An engine that keeps what it is asked."""

        def __init__(self) -> None:
            self.asked: list[list[int]] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(fp32, name)

        def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> Any:
            self.asked += [list(ids) for ids in sequences]
            return fp32.distributions(sequences, starts)

    lengths = {}
    for name, knobs in {"plain": {}, "shots": {"num_fewshot": 2}, "chat": {"chat": True}}.items():
        engine = Seen()
        metrics = public("kmmlu_health", limit=2, engine=engine, **knobs)
        assert (metrics["kmmlu_health_n"], metrics["kmmlu_health_num_fewshot"]) == (2, knobs.get("num_fewshot", 0))
        lengths[name] = sorted(map(len, engine.asked))
        assert len(engine.asked) <= 2 * 4
    assert lengths["shots"][0] > 2 * lengths["plain"][0]
    assert lengths["plain"][0] < lengths["chat"][0] < lengths["plain"][0] + 30


def test_a_group_is_the_mean_over_its_items(public: Callable[..., dict[str, Any]], own: Path) -> None:
    for name in ("nurse", "pharm", "dentist"):
        write(own / f"KorMedMCQA/{name}/test.jsonl", LICENCE[: {"nurse": 1, "pharm": 2, "dentist": 3}[name]])
        write(own / f"KorMedMCQA/{name}/fewshot.jsonl", LICENCE[:1])
    names = [f"kormedmcqa_{part}" for part in ("doctor", "nurse", "pharm", "dentist")]
    metrics = public("kormedmcqa", data=own)
    right = sum(metrics[f"{name}_exact_match"] * metrics[f"{name}_n"] for name in names)
    assert metrics["kormedmcqa_n"] == 11
    assert metrics["kormedmcqa_exact_match"] == pytest.approx(right / 11)
    assert metrics["kormedmcqa_version"] in (3.0, "3.0")


def rename(path: Path, column: str, to: str) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    write(path, [{to if key == column else key: value for key, value in row.items()} for row in rows])


DOCTOR = "KorMedMCQA/doctor/test.jsonl"
BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("kormedmcqa_doctor", lambda d: (d / "KorMedMCQA/doctor/fewshot.jsonl").unlink(), r"fewshot\.jsonl: kormedmcqa_doctor .* found none"),
    ("kormedmcqa_doctor", lambda d: rename(d / DOCTOR, "E", "e"), r"test\.jsonl: .*'E' is undefined.*it has .*, e, "),
    ("kormedmcqa_doctor", lambda d: write(d / DOCTOR, []), r"test\.jsonl: no items"),
    ("kormedmcqa_doctor", lambda d: write(d / DOCTOR, [*LICENCE, {**LICENCE[0], "B": None}]), r"'B' is empty in 1 of 6"),
    ("kormedmcqa_doctor", lambda d: write(d / DOCTOR, [{**LICENCE[0], "answer": "A"}]), r"test\.jsonl: .*cannot read the first row"),
    ("kormedmcqa_doctor", lambda d: (d / DOCTOR).write_text("{no"), r"test\.jsonl: not readable as jsonl"),
    ("kormedmcqa_doctor", lambda d: write(d / "KorMedMCQA/doctor/test.csv", LICENCE), r"found test\.jsonl and test\.csv"),
    ("kmmlu_health", lambda d: write((d / "KMMLU/Health/dev.csv").rename(d / "KMMLU/Health/dev.jsonl"), SUBJECT), r"files of one kind"),
    ("kmmlu_health", lambda d: (d / "KMMLU/Health/test.csv").write_text("question,answer,A,B,C,D\n"), r"test\.csv: no items"),
    ("kobest_hellaswag", lambda d: rename(d / "kobest_v1/hellaswag/train.jsonl", "ending_3", "x"), r"train\.jsonl: .*'ending_3'"),
    ("haerae_loan_word", lambda d: write(d / "HAE_RAE_BENCH/loan_words/test.parquet", [{"query": "?"}]), r"'answer' is undefined"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "spoil", "message"), BROKEN)
def test_refuses_data_that_the_task_cannot_read(
    task: str, spoil: Callable[[Path], object], message: str, public: Callable[..., dict[str, Any]], own: Path
) -> None:
    spoil(own)
    with pytest.raises(UserError, match=message) as refused:
        public(task, data=own)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("tasks", "knobs", "message"),
    [
        (["kormedmcqa_docter"], {}, r"unknown public task 'kormedmcqa_docter'; near it are kormedmcqa_doctor"),
        (["hellaswag_en"], {}, "unknown public task"),
        (["kmmlu_health"], {"data": None}, r"kmmlu_health: Couldn't reach .*HAERAE-HUB/KMMLU.*give local files"),
        (["kmmlu_health"], {"limit": 0}, "limit=0"),
        (["kmmlu_health"], {"num_fewshot": 4}, "4 examples asked for, 3 there"),
        (["haerae_loan_word"], {"num_fewshot": 5}, "5 examples asked for, 4 there"),
    ],
)
def test_refuses_wrong_knobs(tasks: list[str], knobs: dict[str, Any], message: str, public: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(UserError, match=message):
        public(*tasks, **knobs)


def test_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[public\]"'):
        task_manager()


def test_every_family_resolves_to_single_tasks() -> None:
    manager = task_manager()
    found = {name: single_tasks(manager, [name]) for name in FAMILIES}
    assert {name: len(tasks) for name, tasks in found.items()} == {"haerae": 5, "kmmlu": 45, "kobest": 5, "kormedmcqa": 4}
    assert all(single_tasks(manager, [name]) for name in manager.all_tasks)
    assert single_tasks(manager, ["kobest", "kobest_copa"]) == found["kobest"]


@pytest.mark.slow
def test_the_command_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_folder: Path, own: Path, tmp_path: Path
) -> None:
    from pipeline.public_tasks import main

    def run(*words: str, day: str = "2026-11-23") -> list[str]:
        given = ["--model", str(tiny_folder), "--data", str(own), "--out", str(tmp_path), "--date", day]
        monkeypatch.setattr(sys, "argv", ["public_tasks", "--limit", "2", "--threads", "1", "--dtype", "fp32", *given, *words])
        main()
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("public_tasks: ")]

    path = tmp_path / "2026-11-23-public-tiny.json"
    (own / "KMMLU/Health/test.csv").rename(own / "later.csv")
    with pytest.raises(SystemExit):
        run("--tasks", "haerae_loan_word", "kmmlu_health")
    assert "KMMLU/Health/test.jsonl: kmmlu_health wants" in capsys.readouterr().err
    assert not path.exists()  # files are looked at before anything is run
    assert "public_tasks: haerae_loan_word done, 1 of 1" in run("--tasks", "haerae_loan_word")
    (own / "later.csv").rename(own / "KMMLU/Health/test.csv")
    told = run("--tasks", "haerae_loan_word", "kmmlu_health", day="2026-11-24")
    want = (f"2 tasks, 1 of them in {path} already", "kmmlu_health done, 2 of 2", f"{path} written")
    assert told == [f"public_tasks: {text}" for text in want]
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["metrics"]["haerae_loan_word_n"] == content["metrics"]["kmmlu_health_n"] == 2
    conditions = {"engine": "transformers", "dtype": "fp32", "limit": 2, "chat_template": False, "lm_eval": "0.4.13"}
    assert conditions.items() <= content["conditions"].items()
    assert len(content["conditions"]["model_sha256"]) == len(content["tasks"]["kmmlu_health"]["data_sha256"]) == 64
    assert "CC BY-NC" in content["note"]
    assert "\\u" not in text  # a Korean letter would be written so

    write(own / "HAE_RAE_BENCH/loan_words/test.parquet", WORDS[::-1])  # other items: measured again
    assert "public_tasks: haerae_loan_word done, 2 of 2" in run("--tasks", "haerae_loan_word", "kmmlu_health")
    run("--tasks", "haerae_loan_word", "--num-fewshot", "1")
    assert sorted(found.name for found in tmp_path.glob("*.json")) == ["2026-11-23-public-tiny-2.json", path.name]
