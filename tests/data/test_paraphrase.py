import json
from dataclasses import replace
from pathlib import Path

from paper_records import notes_of, record

from medllm.data.paraphrase import content_words, look_alike, suspect


def test_words_alone_find_the_stated_share_of_paraphrases() -> None:
    """The figures in the docstring of medllm/data/paraphrase.py: recall 0.30, precision 0.23 on pairs without a common wording."""
    rows = [json.loads(line) for line in (Path(__file__).parent / "paraphrases.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 150
    hits = [row["paraphrase"] for row in rows if look_alike(content_words(row["a"]), content_words(row["b"]))]
    assert sum(hits) / sum(row["paraphrase"] for row in rows) >= 0.28
    assert sum(hits) / len(hits) >= 0.2


def test_a_suspected_paraphrase_has_the_answer_and_a_word_in_common() -> None:
    rows = [
        record("a", question="무릎이 붓고 아플 때 가는 곳", answer="정형외과", source_split="train"),
        record("b", question="눈이 침침할 때 찾는 곳", answer="정형외과", source_split="train"),
        record("c", question="무릎 통증으로 갈 진료과", answer="정형외과", source_split="validation"),
        record("d", question="무릎 통증으로 갈 진료과", answer="안과", source_split="validation"),
    ]
    found = suspect(notes_of(*rows), [0, 1], [2, 3], lambda number: rows[number].question)
    assert (found.pairs, found.checked, found.suspected) == (2, 2, 1)
    with_facts = notes_of(*(replace(row, fact_id="f") for row in rows))
    assert suspect(with_facts, [0, 1], [2, 3], lambda number: rows[number].question).pairs == 0
