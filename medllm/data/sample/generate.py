"""Which facts are trained, which are held out, and every item of the sample built from them."""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, Literal

from medllm.data.canary import CANARY_PREFIX
from medllm.data.knowledge import Fact, Knowledge, load_knowledge
from medllm.data.records import FREE_PREFIX
from medllm.data.sample.archives import write_archives
from medllm.data.sample.forms import FORMS, FREE, OPENINGS, answer, fill, statement
from medllm.data.sample.items import ChatItem, InterviewItem, MathsItem, PassageItem, QaItem, Statement
from medllm.data.sample.maths import problems
from medllm.data.sample.reading import reading_items
from medllm.data.scenarios import load_scenarios
from medllm.errors import UserError

NUM_OPTIONS = 5
# Training questions of one fact, drawn from all training forms: each fact is asked in other words.
NUM_QUESTIONS = 16
# AI Hub's department codes (71875 has the four of the second block, 71874 the rest); a department without a code is 기타 (13).
ESSENTIAL_DOMAINS = {"산부인과": 14, "소아청소년과": 15, "응급의학과": 16, "내과": 17}
SPECIALIST_DOMAINS = {
    "외과": 1, "예방의학과": 2, "정신건강의학과": 3, "신경과": 4, "신경외과": 4, "피부과": 5, "안과": 6, "이비인후과": 7, "비뇨의학과": 8,
    "방사선종양학과": 9, "병리과": 10, "마취통증의학과": 11,
}  # fmt: skip
OTHER_DOMAIN = 13
# Facts beside the one that answers a grounded question.
NUM_COMPANIONS = 2
# "진료과는 ...": two relations that answer in the same words
_ALIKE = ({"department", "symptom_department"}, {"procedure_purpose", "test_purpose"})
# Every fifth file (passage, interview, problem) goes to the official validation part, as AI Hub splits by file.
VALIDATION_EVERY = 5
NUM_CANARIES = 4
HAND_WRITTEN = ("passages.jsonl", "interviews.jsonl", "scenarios.jsonl")

Split = Literal["train", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSplit:
    """Facts by what the models may see of them."""

    trained: tuple[Fact, ...]
    held_out: tuple[Fact, ...]


def split_facts(facts: Sequence[Fact], texts: Sequence[str], *, num_trained: int, num_held_out: int, seed: int) -> FactSplit:
    """Split by hash, the relations taking turns, so that no table outweighs the others by its length.

    A fact is not held out when a hand-written text has its subject and its object: it might state it.
    """
    if num_trained + num_held_out > len(facts):
        raise UserError(
            f"data.num_trained_facts + data.num_heldout_facts = {num_trained + num_held_out}, but data/knowledge holds {len(facts)} facts; "
            "lower one of them or add rows"
        )
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in sorted(facts, key=lambda fact: hashlib.sha256(f"{seed}:{fact.id}".encode()).hexdigest()):
        by_relation[fact.relation].append(fact)
    order = [fact for turn in zip_longest(*(by_relation[name] for name in sorted(by_relation))) for fact in turn if fact]
    # 부종 -> 내과 cannot be held out beside 관절 부종 -> 내과: a text on the second would state the first
    stated = [fact for fact in order if any(fact.subject in text and fact.object in text for text in texts)]
    open_book = (fact for fact in order if fact not in stated and not any(_contains(other, fact) for other in facts))
    held_out = list(islice(open_book, num_held_out))
    trained = [fact for fact in order if fact not in held_out][:num_trained]
    return FactSplit(trained=tuple(trained), held_out=tuple(held_out))


def _contains(other: Fact, fact: Fact) -> bool:
    return other is not fact and fact.subject in other.subject and fact.object in other.object


def _options(fact: Fact, pool: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    wrong = rng.sample([word for word in pool if word != fact.object], NUM_OPTIONS - 1)
    options = [fact.object, *wrong]
    rng.shuffle(options)
    return tuple(options)


def _opened(question: str, rng: random.Random) -> str:
    """A third of the training questions begin the way people begin."""
    return f"{rng.choice(OPENINGS)} {question}" if rng.random() < 1 / 3 else question


def _place(fact: Fact, departments: dict[str, str]) -> tuple[Literal["aihub_71875", "aihub_71874"], str, int]:
    department = departments.get(fact.id, "")
    if department in ESSENTIAL_DOMAINS:
        return "aihub_71875", department, ESSENTIAL_DOMAINS[department]
    return "aihub_71874", department or "기타", SPECIALIST_DOMAINS.get(department, OTHER_DOMAIN)


def _fact_departments(knowledge: Knowledge) -> dict[str, str]:
    """Department name a fact is filed under; facts about drugs, tests and terms have none."""
    names = {row.id: knowledge.departments[row.department].name for row in knowledge.diseases.values()}
    names |= {row.id: knowledge.departments[row.department].name for row in knowledge.symptoms.values()}
    return {fact.id: names[row_id] for fact in knowledge.facts() if (row_id := fact.id.split(":", 1)[1]) in names}


class _Companions:
    """What a retriever brings along: the other facts about the subject, else facts about something else."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._of_subject: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._of_subject[fact.subject].append(fact)

    def context(self, fact: Fact, rng: random.Random) -> list[str]:
        """The statement of the fact among `NUM_COMPANIONS` others, in random order; none of them answers the same question."""
        same = [other for other in self._of_subject[fact.subject] if other.relation != fact.relation]
        far = [other for other in rng.sample(self._facts, 8 * NUM_COMPANIONS) if {other.relation, fact.relation} not in _ALIKE]
        far = [other for other in far if other.relation != fact.relation and other.subject != fact.subject]
        chosen = [fact, *[*same, *far][:NUM_COMPANIONS]]
        rng.shuffle(chosen)
        return [statement(one) for one in chosen]


def medical_items(knowledge: Knowledge, facts: FactSplit, *, seed: int) -> Iterator[QaItem | Statement]:
    """Statements and questions: training forms of trained facts, held-out forms of trained facts, grounded questions of held-out facts."""
    departments = _fact_departments(knowledge)
    pools: dict[str, list[str]] = defaultdict(list)
    for fact in knowledge.facts():
        if fact.object not in pools[fact.relation]:
            pools[fact.relation].append(fact.object)
    next_id = 900_001
    for fact in sorted(facts.trained, key=lambda f: f.id):
        forms = FORMS[fact.relation]
        rng = random.Random(f"{seed}:{fact.id}")
        dataset, department, domain = _place(fact, departments)
        for number, form in enumerate(forms.statements):
            yield Statement(
                c_id=f"TB_{next_id}_{number}", dataset=dataset, department=department, domain=domain,
                content=fill(form, fact), key={"fact_id": fact.id, "form": f"statement{number}"},
            )  # fmt: skip
        questions: list[tuple[str, str, Split, Literal[1, 2]]] = [
            (forms.train[i], f"train{i}", "train", 2) for i in sorted(rng.sample(range(len(forms.train)), NUM_QUESTIONS))
        ]
        questions.append((forms.choice[0], "choice_train", "train", 1))
        questions += [(form, f"held_out{i}", "validation", 2) for i, form in enumerate(forms.held_out)]
        questions += [(form, f"{FREE_PREFIX}{i}", "validation", 2) for i, form in enumerate(FREE[fact.relation])]
        questions.append((forms.choice[1], "choice_held_out", "validation", 1))
        for form, form_id, split, q_type in questions:
            key: dict[str, Any] = {"fact_id": fact.id, "form": form_id, "must": [fact.object], "subject": fact.subject}
            if split == "validation":
                key["held_out"] = "form"
            if q_type == 2:
                key["context"] = [statement(fact)]
            yield QaItem(
                item_id=next_id, dataset=dataset, split=split, department=department, domain=domain, q_type=q_type,
                question=_opened(fill(form, fact), rng) if split == "train" else fill(form, fact),
                options=_options(fact, pools[fact.relation], rng) if q_type == 1 else (),
                answer=fact.object if q_type == 1 else answer(fact), key=key,
            )  # fmt: skip
            next_id += 1
    companions = _Companions(knowledge.facts())
    for fact in sorted(facts.held_out, key=lambda f: f.id):
        rng = random.Random(f"{seed}:{fact.id}")
        dataset, department, domain = _place(fact, departments)
        for number, form in enumerate(FORMS[fact.relation].held_out):
            yield QaItem(
                item_id=next_id, dataset=dataset, split="validation", department=department, domain=domain, q_type=2,
                question=fill(form, fact), options=(), answer=answer(fact),
                key={
                    "fact_id": fact.id, "form": f"held_out{number}", "held_out": "fact", "must": [fact.object], "subject": fact.subject,
                    "context": companions.context(fact, rng),
                },
            )  # fmt: skip
            next_id += 1


def _text_lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path}: missing; restore it from git")
    return path.read_text(encoding="utf-8").splitlines()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text_lines(path)]


def korean_items(folder: Path) -> Iterator[PassageItem | InterviewItem]:
    """Hand-written passages with questions, and interviews: the brief's baseline check."""
    item_id = 900_001
    for number, row in enumerate(_lines(folder / "passages.jsonl"), 1):
        for question in row["questions"]:
            yield PassageItem(
                item_id=f"S2_{row['grade'].split()[0][0]}등_{row['grade'].split()[1][0]}_{item_id}", grade=row["grade"],
                passage=row["passage"], question=question["question"],
                options=tuple(question["options"]), answer_index=question["answer"] - 1, explanation=question["explanation"],
                split="validation" if number % VALIDATION_EVERY == 0 else "train",
            )  # fmt: skip
            item_id += 1
    for number, row in enumerate(_lines(folder / "interviews.jsonl"), 1):
        yield InterviewItem(
            item_id=row["id"], topic=row["topic"], script=tuple((turn["question"], tuple(turn["answers"])) for turn in row["script"]),
            split="validation" if number % VALIDATION_EVERY == 0 else "train",
        )  # fmt: skip


def scenario_items(folder: Path, knowledge: Knowledge) -> Iterator[ChatItem]:
    """Hand-written consultations; prepare_data splits them by cluster."""
    for scenario in load_scenarios(folder / "scenarios.jsonl", departments=knowledge.departments, redflags=knowledge.redflags):
        key: dict[str, object] = {"cluster": scenario.cluster, "form": scenario.outcome.kind, "must": list(scenario.outcome.must)}
        yield ChatItem(dataset="consultations", item_id=scenario.id, messages=scenario.messages(), key=key)


def canary_items() -> Iterator[ChatItem]:
    """Conversations that may not be passed on: their mark may turn up in no report, metric, prediction or MLflow record of a run."""
    for number in range(NUM_CANARIES):
        mark = f"{CANARY_PREFIX}{number}"
        messages = (("user", f"{mark} 이 문항은 어디에 실리나요?"), ("assistant", f"{mark} 이 문항은 어디에도 실리지 않습니다."))
        yield ChatItem(dataset="canary", item_id=f"canary_{number}", messages=messages, key={"redistributable": False, "cluster": mark})


def maths_items(count: int, *, seed: int) -> Iterator[MathsItem]:
    """Worked solutions, the brief's distillation data."""
    for number, problem in enumerate(problems(count, seed=seed), 1):
        yield MathsItem(
            item_id=problem.id, grade=problem.grade, question=problem.question,
            answer=problem.answer, solution=problem.solution, options=problem.options, answer_mark=problem.answer_mark,
            split="validation" if number % VALIDATION_EVERY == 0 else "train",
        )  # fmt: skip


def make_sample(
    folder: Path, out: Path, *, num_trained_facts: int, num_heldout_facts: int, num_maths: int, num_reading: int, seed: int
) -> dict[str, Any]:  # fmt: skip
    """Write the sample archives from the tables in `folder` to `out`, whole or not at all.

    Returns items by set, and `scenarios`: consultations by outcome.
    """
    knowledge = load_knowledge(folder)
    texts = [line for name in HAND_WRITTEN for line in _text_lines(folder / name)]
    facts = split_facts(knowledge.facts(), texts, num_trained=num_trained_facts, num_held_out=num_heldout_facts, seed=seed)
    consultations = list(scenario_items(folder, knowledge))
    items = chain(
        medical_items(knowledge, facts, seed=seed), korean_items(folder), maths_items(num_maths, seed=seed),
        consultations, canary_items(), reading_items(knowledge, num_reading, seed=seed),
    )  # fmt: skip
    outcomes = Counter(str(item.key["form"]) for item in consultations)
    return {**write_archives(out, items), "scenarios": dict(sorted(outcomes.items()))}
