"""The terminal chat on a package: order of the answers, streaming, errors, and what it imports."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from medllm.chat import MAX_QUESTION, Consultation, stable_pieces
from medllm.data.prompts import Prompts
from medllm.errors import UserError
from medllm.graph.link import Linker
from medllm.graph.store import Graph
from medllm.safety.messages import NOTICE, unknown_text

ROOT = Path(__file__).parents[2]
KNOWLEDGE = ROOT / "data" / "knowledge"
with (Path(__file__).parent / "off_topic.csv").open(encoding="utf-8", newline="") as _lines:
    OFF_TOPIC = [row["text"] for row in csv.DictReader(_lines)]
EMERGENCY, KNOWN, UNKNOWN = "아빠가 숨을 안 쉬어요", "고혈압은 어느 과에서 진료하나요?", "내일 서울 날씨 어때?"


def _write_package(package: Path, graph: Graph) -> Path:
    graph.save(package)
    shutil.copyfile(KNOWLEDGE / "redflags.csv", package / "redflags.csv")
    (package / "manifest.json").write_text('{"grounded": false}\n', encoding="utf-8")
    return package


@pytest.fixture(scope="module")
def bare_package(tmp_path_factory: pytest.TempPathFactory, whole_graph: Graph) -> Path:
    """Everything of a package but the model. Read-only."""
    return _write_package(tmp_path_factory.mktemp("package"), whole_graph)


@pytest.fixture(scope="module")
def small_graph(whole_graph: Graph) -> Graph:
    """What KNOWN asks about: the whole graph takes half a second to read."""
    (asked,) = [node for node in whole_graph.nodes.values() if node.name == KNOWN[:3]]
    return Graph(nodes={asked.id: asked}, edges=(), facts=tuple(fact for fact in whole_graph.facts if fact.node == asked.id))


@pytest.fixture
def package(tmp_path: Path, small_graph: Graph) -> Path:
    """One with a small graph that a test may break."""
    (tmp_path / "package").mkdir()
    return _write_package(tmp_path / "package", small_graph)


def _consultation(package: Path) -> Consultation:
    return Consultation(package, max_new_tokens=8, threads=1)


@pytest.fixture(scope="module")
def consultation(bare_package: Path) -> Consultation:
    return _consultation(bare_package)


def _run(package: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "medllm.chat", "--package", str(package), "--threads", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, input=typed, capture_output=True, encoding="utf-8", check=False, timeout=60)


@pytest.fixture(scope="module")
def linker(bare_package: Path) -> Linker:
    return Linker(Graph.load(bare_package))


def test_off_topic_list_is_large_enough() -> None:
    assert len(set(OFF_TOPIC)) >= 40


@pytest.mark.parametrize("question", OFF_TOPIC)
def test_off_topic_question_links_to_nothing(linker: Linker, question: str) -> None:
    assert linker.link(question) == []


def test_red_flag_comes_before_everything(package: Path) -> None:
    for name in ("manifest.json", "graph.json"):
        (package / name).unlink()
    text = "".join(_consultation(package).answer(EMERGENCY))
    assert "119" in text.splitlines()[0]
    assert text.endswith(NOTICE)


def test_unknown_question_needs_no_model(consultation: Consultation) -> None:
    assert "".join(consultation.answer(UNKNOWN)) == unknown_text()


def test_known_question_needs_the_model(consultation: Consultation) -> None:
    with pytest.raises(UserError, match=r"model"):
        list(consultation.answer(KNOWN))


def test_long_question_is_not_sent_to_the_model(consultation: Consultation) -> None:
    text = "".join(consultation.answer(KNOWN + "가" * MAX_QUESTION))
    assert str(MAX_QUESTION) in text
    assert "119" in "".join(consultation.answer("가나다라" * MAX_QUESTION + EMERGENCY)).splitlines()[0]


@pytest.mark.parametrize("question", ["", "   ", "😭😭😭", "ㅇㅇ", "...", "\u3164\u200b", "\ud800"])
def test_empty_question_is_answered_politely(consultation: Consultation, question: str) -> None:
    assert "".join(consultation.answer(question)) == unknown_text()


class Scripted:
    """An engine whose answer is given; it notes the prompts."""

    name, dtype, threads = "scripted", "none", 1

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids, self.prompts, self.closed = list(ids), [], False  # type: ignore[var-annotated]

    def stream(self, prompt: Sequence[int], *, max_new_tokens: int) -> Iterator[int]:
        self.prompts.append(list(prompt))
        yield from self.ids[:max_new_tokens]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def scripted(package: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Prompts, Scripted]:
    shutil.copytree(tiny_tokenizer, package / "model")
    engine = Scripted([])
    monkeypatch.setattr("medllm.engines.open_engine", lambda folder, *, threads: engine)
    return package, Prompts.load(package / "model"), engine


def test_answer_is_streamed_and_ends_with_the_notice(scripted: tuple[Path, Prompts, Scripted]) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text("내과")
    consultation = _consultation(package)
    pieces = list(consultation.answer(KNOWN))
    assert "".join(pieces) == f"내과\n{NOTICE}"
    assert len(pieces) > 1
    assert engine.prompts == [prompts.question(KNOWN)]
    consultation.close()
    assert engine.closed


@pytest.mark.parametrize("ids", ["", "  \n "])
def test_empty_answer_becomes_unknown(scripted: tuple[Path, Prompts, Scripted], ids: str) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text(ids)
    assert "".join(_consultation(package).answer(KNOWN)) == unknown_text()


def test_broken_character_alone_becomes_unknown(scripted: tuple[Path, Prompts, Scripted]) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text("\ufffd")[:1]
    assert "".join(_consultation(package).answer(KNOWN)) == unknown_text()


def test_grounded_package_puts_facts_before_the_question(scripted: tuple[Path, Prompts, Scripted]) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text("진료과는 내과입니다.")
    (package / "manifest.json").write_text('{"grounded": true}', encoding="utf-8")
    assert "".join(_consultation(package).answer(KNOWN)) == f"진료과는 내과입니다.\n{NOTICE}"
    text = prompts.decode(engine.prompts[0])
    assert text.startswith("참고: ")
    assert "고혈압" in text.splitlines()[0]


@pytest.mark.parametrize("said", ["진료과는 외과입니다.", "대표적인 검사는 혈압 측정입니다.", "약은 끊으세요. 진료과는 내과입니다.", ""])
def test_what_the_best_fact_does_not_say_is_replaced_by_the_fact(scripted: tuple[Path, Prompts, Scripted], said: str) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text(said)
    (package / "manifest.json").write_text('{"grounded": true}', encoding="utf-8")
    assert "".join(_consultation(package).answer(KNOWN)) == f"고혈압의 진료과는 내과입니다.\n{NOTICE}"


def test_a_grounded_package_without_a_fact_does_not_guess(
    scripted: tuple[Path, Prompts, Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text("진료과는 내과입니다.")
    (package / "manifest.json").write_text('{"grounded": true}', encoding="utf-8")
    monkeypatch.setattr("medllm.graph.retrieve.Retriever.facts_for", lambda self, question, *, limit: [])
    assert "".join(_consultation(package).answer(KNOWN)) == unknown_text()
    assert engine.prompts == []


def test_invisible_characters_do_not_reach_the_model(scripted: tuple[Path, Prompts, Scripted]) -> None:
    package, prompts, engine = scripted
    engine.ids = prompts.text("내과")
    list(_consultation(package).answer("고혈\u200b압은\u3164 어느 과에서 진료하나요?"))
    assert engine.prompts == [prompts.question(KNOWN)]


@pytest.mark.parametrize("text", ["내과에서 진료합니다.", "  앞뒤 빈칸  ", "이모지 😭 와 한자 漢字", "두 줄\n답변"])
def test_pieces_are_whole_characters_and_join_to_the_text(tiny_tokenizer: Path, text: str) -> None:
    prompts = Prompts.load(tiny_tokenizer)
    pieces = list(stable_pieces(prompts.text(text), prompts))
    assert "".join(pieces) == text.strip()
    assert all(pieces)
    assert "\ufffd" not in "".join(pieces)


def test_real_model_answers_with_the_notice(bare_package: Path, tmp_path: Path, tiny_gguf: dict[str, Path]) -> None:
    package = Path(shutil.copytree(bare_package, tmp_path / "whole"))
    shutil.copytree(tiny_gguf["q8_0"], package / "model")
    done = _run(package, "--once", KNOWN, "--max-new-tokens", "12")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"{NOTICE}\n")
    assert "\ufffd" not in done.stdout


def test_no_heavy_import(bare_package: Path) -> None:
    code = (
        "import sys, json; from medllm.chat import main;"
        f"codes = [main(['--package', {str(bare_package)!r}, '--once', q]) for q in ({EMERGENCY!r}, {UNKNOWN!r})];"
        "sys.stdout.write(json.dumps([codes, sorted({m.split('.')[0] for m in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True, timeout=60)
    codes, modules = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0, 0]
    assert not {"torch", "transformers", "xllamacpp", "numpy", "hydra", "mlflow"} & set(modules)


@pytest.mark.parametrize("end", ["", "\n", "종료\n"])
def test_interactive_session_ends_politely(package: Path, end: str) -> None:
    done = _run(package, typed=f"{EMERGENCY}\n{UNKNOWN}\n{end}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("질문> ") == 3
    assert done.stdout.count(NOTICE) == 3
    assert done.stdout.endswith("건강하십시오.\n")


@pytest.mark.parametrize(("banner", "first"), [("[시연용] 검토 전입니다.", "[시연용] 검토 전입니다."), ("", "안녕하십니까.")])
def test_the_banner_of_a_demo_stands_first(package: Path, banner: str, first: str) -> None:
    (package / "manifest.json").write_text(json.dumps({"mode": "demo", "banner": banner}), encoding="utf-8")
    done = _run(package, typed="종료\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith(first)


@pytest.mark.parametrize(
    ("broken", "content", "says"),
    [
        (".", None, "패키지 폴더가 없습니다"),
        ("redflags.csv", None, "redflags.csv"),
        ("manifest.json", None, "파일이 없습니다"),
        ("manifest.json", "{", "JSON을 읽을 수 없습니다"),
        ("manifest.json", "[]", "형식이 올바르지 않습니다"),
        ("manifest.json", '{"grounded": "yes"}', "형식이 올바르지 않습니다"),
        ("manifest.json", '{"banner": 1}', "형식이 올바르지 않습니다"),
        ("graph.json", "{", "graph.json"),
    ],
)
def test_broken_package_is_one_korean_line(package: Path, broken: str, content: str | None, says: str) -> None:
    if broken == ".":
        shutil.rmtree(package)
    elif content is None:
        (package / broken).unlink()
    else:
        (package / broken).write_text(content, encoding="utf-8")
    done = _run(package, "--once", UNKNOWN)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("상담을 진행할 수 없습니다: ")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_broken_manifest_is_reported_before_the_first_question(package: Path) -> None:
    (package / "manifest.json").write_text("{", encoding="utf-8")
    done = _run(package, typed="\n")
    assert (done.returncode, done.stdout) == (1, "")
