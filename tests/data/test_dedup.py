import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medllm.data.dedup import exact_key, sketch, stem_grams
from medllm.data.gates import check_written
from medllm.data.leak import FactWatch, HeldOutFact
from medllm.data.minhash import NUM_PERM, alike, bands, grams, jaccard, letters, signatures
from medllm.data.near import Neighbours, sign
from medllm.data.parallel import SecondProcess
from medllm.data.paraphrase import content_words, look_alike, suspect
from medllm.data.records import Record, write_records
from medllm.data.split import choose_calibration, decide
from medllm.data.staging import Note, take_batch
from medllm.errors import UserError


def record(record_id: str, **fields: Any) -> Record:
    """A question with an answer, unless `fields` make it something else."""
    defaults: dict[str, Any] = {"id": record_id, "dataset": "aihub_x", "role": "medical", "kind": "qa", "source_split": "train"}
    shape = {} if fields.keys() & {"text", "messages"} else {"question": "물음", "answer": "답"}
    if "options" in fields:
        shape |= {"kind": "choice", "answer_index": 0, "answer": fields["options"][0]}
    return Record(**{**defaults, **shape, **fields})


def notes_of(*records: Record) -> list[Note]:
    return take_batch(sorted(records, key=lambda one: one.id)).notes


def decided(*records: Record, similarity: float = 0.7, test_share: float = 0.2) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """(part, reason, cluster) of every record by id, with signatures and verification as in the stage."""
    ordered = sorted(records, key=lambda one: one.id)
    near = Neighbours()
    near.add(sign([sketch(one) for one in ordered]), range(len(ordered)))
    pairs = near.pairs(
        lambda number: sketch(ordered[number]), similarity=similarity, document_similarity=0.8, wanted=lambda low, high: True
    )
    decision = decide(notes_of(*ordered), pairs, test_share=test_share)
    ids = [one.id for one in ordered]
    return (
        dict(zip(ids, decision.parts, strict=True)),
        {ids[number]: reason for number, reason in decision.dropped.items()},
        {name: cluster for name, cluster in zip(ids, decision.clusters, strict=True) if cluster},
    )


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"question": "가 나 다"}, {"question": "가나다"}, True),
        ({"options": ("가", "나")}, {"options": ("나", "가")}, True),
        ({"options": ("가", "나")}, {"options": ("가", "다")}, False),
        ({"kind": "passage_choice", "options": ("가", "나"), "passage": "글 하나"},
         {"kind": "passage_choice", "options": ("가", "나"), "passage": "글 둘"}, False),
        ({"kind": "solution", "must": ("1",)}, {"kind": "solution", "must": ("2",)}, False),
        ({"kind": "solution", "question": "$x-1$"}, {"kind": "solution", "question": "$x+1$"}, False),
        ({"kind": "chat", "messages": (("user", "안녕 하세요"), ("assistant", "네"))},
         {"kind": "chat", "messages": (("user", "안녕하세요"), ("assistant", "네"))}, True),
        ({"kind": "chat", "messages": (("user", "안녕하세요"), ("assistant", "네"))},
         {"kind": "chat", "messages": (("user", "안녕하세요"), ("assistant", "아니요"))}, False),
    ],
)  # fmt: skip
def test_exact_copies(left: dict[str, Any], right: dict[str, Any], same: bool) -> None:
    assert (exact_key(record("1", **left)) == exact_key(record("2", **right))) is same


def test_one_question_about_two_facts_is_kept_for_both() -> None:
    first, second = record("1", fact_id="a"), record("2", fact_id="b")
    assert decided(first, second)[1] == {}
    assert decided(first, replace(second, fact_id="a"))[1] == {"2": "duplicate"}


def test_stems_with_other_options_are_one_cluster_and_stay_on_one_side() -> None:
    stem = "폐렴으로 입원한 환자에게 먼저 시행할 검사로 알맞은 것은"
    test = record("t", question=stem, options=("가", "나"), source_split="validation")
    train = record("a", question=f"{stem}?", options=("다", "라"))
    far = record("b", question="고혈압 환자가 피할 음식은", options=("가", "나"))
    _, reasons, clusters = decided(test, train, far)
    assert reasons == {"a": "near_duplicate_of_test_question"}
    assert clusters == {"a": "a", "t": "a"}
    # among training items they all stay: other options make another item
    _, reasons, clusters = decided(replace(test, source_split="train"), train, far)
    assert (reasons, clusters) == ({}, {"a": "a", "t": "a"})


def test_a_training_question_that_says_the_same_goes() -> None:
    question = "당뇨병이 있는 사람은 어느 진료과에서 진료를 받아야 하나요"
    first, second = record("1", question=question, answer="내과"), record("2", question=f"{question}요", answer="내과")
    assert decided(first, second)[1] == {"2": "near_duplicate"}
    assert decided(first, replace(second, answer="외과"))[1] == {}


def test_what_is_alike_to_what_is_alike_to_a_test_question_goes_too() -> None:
    letters_of = [chr(0xAC00 + 29 * number) for number in range(60)]
    stems = ["".join(["변"] * step + letters_of[step:]) for step in (0, 12, 24)]
    grams_of = [stem_grams(stem) for stem in stems]
    assert min(jaccard(grams_of[0], grams_of[1]), jaccard(grams_of[1], grams_of[2])) > 0.6 > jaccard(grams_of[0], grams_of[2])
    test, near, far = (
        record(str(n), question=stem, answer=str(n), source_split="train" if n else "validation") for n, stem in enumerate(stems)
    )
    assert decided(test, near, far, similarity=0.6)[1] == {"1": "near_duplicate_of_test_question", "2": "cluster_of_test_item"}


def test_problems_that_differ_in_a_number_are_other_problems() -> None:
    problem = record("t", kind="solution", question="연립방정식 $x+y=12$, $3x-y=20$의 해를 구하시오.", source_split="validation")
    other = record("a", kind="solution", question=problem.question.replace("$3x-y=20$", "$2x-y=12$"))
    assert jaccard(stem_grams(problem.question), stem_grams(other.question)) > 0.5
    assert decided(other, problem, similarity=0.5)[1] == {}
    worded = record("b", kind="solution", question=problem.question.replace("구하시오", "구하여라"), answer="다른 풀이")
    assert decided(worded, problem, similarity=0.5)[1] == {"b": "near_duplicate_of_test_question"}


def test_a_source_without_a_validation_part_is_split_by_cluster() -> None:
    """Never a cluster on both sides, about the share asked for, and one more item moves no other."""
    rng = random.Random(0)

    def chat(number: int, cluster: int) -> Record:
        words = ["".join(rng.choices("가나다라마바사아자차카타파하", k=4)) for _ in range(30)]
        turns = (("user", " ".join(words[:15])), ("assistant", " ".join(words[15:])))
        return record(f"c{number:03d}", dataset="chat", kind="chat", messages=turns, cluster=f"k{cluster}")

    chats = [chat(number, number // 3) for number in range(300)]
    parts, reasons, _ = decided(*chats)
    sides = {one.cluster: {parts[other.id] for other in chats if other.cluster == one.cluster} for one in chats}
    assert all(len(side) == 1 for side in sides.values())
    assert 0.1 < sum(part == "validation" for part in parts.values()) / len(parts) < 0.3
    assert reasons == {}
    assert decided(*chats, test_share=0.0)[0] == dict.fromkeys(parts, "train")
    more = decided(*chats, chat(300, 100))[0]
    assert {name: more[name] for name in parts} == parts


NOTES = st.lists(
    st.tuples(
        st.sampled_from(["aihub_x", "owned", "chats"]),
        st.booleans(),
        st.sampled_from(["", "", "k1", "k2", "k3"]),
        st.integers(0, 15),
        st.sampled_from([("", ""), ("f1", ""), ("f2", "form"), ("f3", "fact")]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(rows=NOTES, pairs=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=15), share=st.floats(0, 1))
def test_whatever_is_read_no_cluster_and_no_held_out_fact_is_on_both_sides(rows: Any, pairs: Any, share: float) -> None:
    records = [
        record(f"{number:02d}", dataset=dataset, question=f"물음 {text}", cluster=cluster, fact_id=fact, held_out=held_out,
               source_split="validation" if dataset == "owned" and official else "train")
        for number, (dataset, official, cluster, text, (fact, held_out)) in enumerate(rows)
    ]  # fmt: skip
    notes = notes_of(*records)
    near = [(one, other) for one, other in pairs if max(one, other) < len(notes) and one != other]
    decision = decide(notes, near, test_share=share)
    train, test = decision.kept("train"), decision.kept("validation")
    assert sorted([*train, *test, *decision.dropped]) == list(range(len(notes)))
    for of in (lambda n: decision.clusters[n], lambda n: (notes[n].dataset, notes[n].cluster) if notes[n].cluster else ""):
        assert {of(n) for n in train}.isdisjoint({of(n) for n in test} - {""})
    assert {notes[n].exact for n in train}.isdisjoint(notes[n].exact for n in test)
    assert not any({one, other} & set(train) and {one, other} & set(test) for one, other in near)
    assert not any(notes[n].held_out == "fact" for n in train)
    assert {decision.dropped[n] for n in decision.dropped if decision.parts[n] == "validation"} <= {"duplicate"}
    assert all(decision.parts[n] == notes[n].split for n in range(len(notes)) if notes[n].dataset == "aihub_x")


def test_an_official_split_is_kept() -> None:
    rows = [record(str(number), dataset="owned", question=f"질문 {number}", source_split="train") for number in range(40)]
    official = replace(rows[0], id="v", question="검증 문항", source_split="validation")
    assert set(decided(*rows)[0].values()) == {"train", "validation"}
    assert decided(*rows, official)[0] == {**{one.id: "train" for one in rows}, "v": "validation"}
    aihub = [replace(one, dataset="aihub_71875") for one in rows]
    assert set(decided(*aihub)[0].values()) == {"train"}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_find_what_is_as_alike_as_the_threshold(threshold: float) -> None:
    number, rows = bands(threshold)
    assert number * rows <= NUM_PERM
    assert 1 - (1 - threshold**rows) ** number >= 0.999


def changed(text: str, places: list[int]) -> str:
    return "".join("변" if place in places else letter for place, letter in enumerate(text))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 79), max_size=6), st.integers(0, 10**6))
def test_signatures_estimate_jaccard(places: list[int], seed: int) -> None:
    text = "".join(random.Random(seed).choices([chr(0xAC00 + number) for number in range(2000)], k=80))
    other = changed(text, places)
    matrix = signatures([text, other], size=3)
    true = jaccard(grams(text, 3), grams(other, 3))
    assert abs(float((matrix[0] == matrix[1]).mean()) - true) < 0.22  # five standard deviations at a half


def test_signatures_do_not_depend_on_the_batch() -> None:
    texts = ["가", "", "가나다라마바사", "마바사아자차", "가나다"]
    together = signatures(texts, size=3)
    for row, text in enumerate(texts):
        assert (signatures([text], size=3) == together[row]).all()


def test_every_near_pair_is_found_and_only_within_its_block() -> None:
    import numpy as np

    rng = random.Random(1)
    texts = ["".join(rng.choices([chr(0xAC00 + number) for number in range(900)], k=60)) for _ in range(300)]
    texts += [changed(text, rng.sample(range(60), number % 4)) for number, text in enumerate(texts[:150])]
    sets = [grams(text, 3) for text in texts]
    wanted = {(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts)) if jaccard(sets[i], sets[j]) >= 0.8}
    assert len(wanted) > 70
    matrix = signatures(texts, size=3)
    found = list(alike(matrix, np.zeros(len(texts), dtype=np.uint64), threshold=0.8))
    assert len(found) == len(set(found))
    assert all(i < j for i, j in found)
    assert wanted <= set(found)
    blocks = np.arange(len(texts), dtype=np.uint64)
    assert list(alike(matrix, blocks, threshold=0.8)) == []
    assert list(alike(matrix[:0], blocks[:0], threshold=0.8)) == []


def test_letters_keep_what_carries_meaning() -> None:
    assert letters(" 혈압 120/80,  Hb 9.8 g/dL \u200b(①½㎎+) ") == "혈압12080hb98gdl①½㎎+"


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


def test_calibration_takes_turns_between_roles_and_follows_the_seed() -> None:
    roles = ["medical"] * 20 + ["distillation"] * 5
    train = notes_of(*(record(f"{number:02d}", role=role) for number, role in enumerate(roles)))
    everything = range(25)
    chosen = choose_calibration(train, everything, count=12, seed=0)
    assert [train[number].role for number in chosen] == ["distillation", "medical"] * 5 + ["medical"] * 2
    assert choose_calibration(train, everything, count=6, seed=0) == choose_calibration(train, everything[::-1], count=6, seed=0)
    assert choose_calibration(train, everything, count=6, seed=1) != choose_calibration(train, everything, count=6, seed=0)
    with pytest.raises(UserError, match=r"data\.num_calibration=26"):
        choose_calibration(train, everything, count=26, seed=0)


SLOW = "__import__('time').sleep(0.01)"
PID = "__import__('os').getpid()"


def test_the_second_process_keeps_the_order_and_passes_errors_on() -> None:
    with SecondProcess() as second:
        # until it has started all is done here
        results = list(second.map(eval, [f"({SLOW}, {PID}, {number})" for number in range(300)]))
        assert [number for _, _, number in results] == list(range(300))
        assert len({process for _, process, _ in results}) == min(2, os.cpu_count() or 1)
        with pytest.raises(ZeroDivisionError):
            list(second.map(eval, [f"1 / ({PID} == {os.getpid()})"] * 20 + ["1 / 0"]))


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core: all work is done in the first process")
def test_a_killed_second_process_is_named() -> None:
    lethal = f"({SLOW}, {PID} == {os.getpid()} or __import__('os')._exit(9))"
    with SecondProcess() as second, pytest.raises(UserError, match="second process of prepare_data was killed"):
        list(second.map(eval, [lethal] * 200))


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
