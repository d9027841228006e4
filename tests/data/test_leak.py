"""A held-out fact or a test item in a training text is found, before the split and in what was written."""

from pathlib import Path
from typing import Any

import pytest
from paper_records import record

from medllm.data.gates import check_written
from medllm.data.leak import FactWatch, HeldOutFact
from medllm.data.parallel import SecondProcess
from medllm.data.records import Record, write_records
from medllm.errors import UserError


@pytest.mark.parametrize(
    ("fields", "leaks"),
    [
        ({"question": "건선은 어디서 보나요?", "answer": "피부과입니다."}, True),
        # a wrong option states nothing
        ({"question": "건선은 어디서 보나요?", "options": ("외과", "피부과")}, False),
        ({"question": "무좀은 어디서 보나요?", "answer": "피부과입니다."}, False),
        ({"kind": "statement", "text": "그런데 건선은 흔하고, 피부과에서 봅니다."}, True),
        ({"kind": "statement", "text": "농포건선증은 피부과에서 봅니다."}, False),
        ({"kind": "chat", "messages": (("user", "안녕하세요. 건선은 어디서 보나요?"), ("assistant", "피부과로 가세요."))}, True),
        ({"kind": "chat", "messages": (("user", "건선이 있어요. 다른 것을 묻겠습니다."), ("assistant", "네. 피부과는 2층입니다."))}, False),
    ],
)
def test_a_text_states_a_fact_in_one_sentence(fields: dict[str, Any], leaks: bool) -> None:
    fact = HeldOutFact(fact_id="f", subject="건선", must=("피부과",), sentences=())
    assert FactWatch([fact]).stated(record("x:1", **fields)) == ({"f"} if leaks else set())


def test_a_held_out_fact_without_a_subject_is_found_by_its_sentence() -> None:
    fact = HeldOutFact(fact_id="f", subject="", must=(), sentences=("건선은 피부과에서 봅니다.",))
    text = record("x:1", kind="statement", text="흔히 건선은  피부과에서 봅니다!")
    assert FactWatch([fact]).stated(text) == {"f"}


def written(folder: Path, *, train: list[Record], test: list[Record], corpus: list[Record]) -> Path:
    for name, rows in (("train", train), ("test", test), ("corpus", corpus)):
        write_records(folder / f"{name}.jsonl", rows)
    return folder


STEM = "폐렴으로 입원한 환자에게 먼저 시행할 검사로 알맞은 것은 무엇입니까"
LONG = " ".join(f"{number}번째 문장은 서로 다르다." for number in range(40))


@pytest.mark.parametrize(
    ("test", "train", "corpus"),
    [
        ([{"question": STEM}], [{"question": STEM.replace(" ", "")}], []),
        ([{"question": STEM}], [{"question": f"{STEM}?!", "answer": "다른 답"}], []),
        ([{"question": STEM}], [{"kind": "chat", "messages": (("user", f"{STEM}요"), ("assistant", "네"))}], []),
        ([{"kind": "dialogue", "text": LONG}], [], [{"kind": "dialogue", "text": LONG.replace("3번째", "삼번째")}]),
        (
            [{"kind": "passage_choice", "passage": "짧은 글이다.", "options": ("가", "나")}],
            [],
            [{"kind": "passage_choice", "text": "짧은  글이다."}],
        ),
    ],
)  # fmt: skip
def test_the_gate_finds_what_the_split_has_let_through(tmp_path: Path, test: Any, train: Any, corpus: Any) -> None:
    rows = {
        name: [record(f"{name}{n}", **{"source_split": "validation" if name == "test" else "train", **row}) for n, row in enumerate(own)]
        for name, own in (("test", test), ("train", train), ("corpus", corpus))
    }
    folder = written(tmp_path, **rows)
    with SecondProcess() as second, pytest.raises(UserError, match=r"(train|corpus)0: .*copy of the test item test0 \(1 such pairs\)"):
        check_written(folder, [], second, similarity=0.7, document_similarity=0.8)
    write_records(folder / "test.jsonl", [record("test1", question="전혀 다른 이야기")])
    with SecondProcess() as second:
        found = check_written(folder, [], second, similarity=0.7, document_similarity=0.8)
    assert found == {"test_items_in_training_texts": (1, 0), "held_out_facts_in_training_texts": (0, 0)}
