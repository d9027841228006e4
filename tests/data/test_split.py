"""Which side an item is on, and what is taken for the calibration."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_records import decided, notes_of, record

from medllm.data.records import Record
from medllm.data.split import choose_calibration, decide
from medllm.errors import UserError


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
