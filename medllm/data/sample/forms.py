"""How a fact is said and asked in Korean: statements, questions of the training forms and of the held-out forms."""

from dataclasses import dataclass
from itertools import product

from medllm.data.knowledge import Fact
from medllm.data.particles import attach


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """Wordings of one relation.

    Placeholders: {s} subject, {o} object, and either with a particle: {s:은/는}. `answer` does not repeat the subject.
    `train` and `held_out` are question wordings that share no sentence; `choice` are (training stem, held-out stem).
    """

    statements: tuple[str, ...]
    answer: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]
    choice: tuple[str, str]


# How a text turns to a subject before it says something about it, so that the object does not always stand right after the subject.
LEADS = (
    "{s:에/에} 대해 알아봅니다.", "{s:을/를} 설명하겠습니다.", "이번 주제는 {s}입니다.", "{s:이/가} 궁금하다는 분께 알려 드립니다.",
    "{s:에/에} 관한 질문에 답합니다.", "{s:을/를} 처음 듣는 분을 위한 설명입니다.",
)  # fmt: skip

# Beginnings and ends (by index) whose combination is held out: both parts are seen in training, never in one sentence.
HELD_OUT = ((1, 3), (3, 1), (5, 5))


def _forms(statements: tuple[str, ...], answer: str, begins: tuple[str, ...], ends: tuple[str, ...], choice: tuple[str, str]) -> Forms:
    """Every beginning with every end, except the combinations that are held out."""
    cells = list(product(range(len(begins)), range(len(ends))))
    return Forms(
        statements=(*statements, *(f"{lead} {answer}" for lead in LEADS)),
        answer=answer,
        train=tuple(f"{begins[i]} {ends[j]}" for i, j in cells if (i, j) not in HELD_OUT),
        held_out=tuple(f"{begins[i]} {ends[j]}" for i, j in HELD_OUT),
        choice=choice,
    )


_WHICH_DEPARTMENT = (
    "어느 과로 가야 하나요?", "무슨 과를 찾아야 할까요?", "어떤 진료과가 맞나요?", "어느 과에서 진료를 받나요?",
    "무슨 과에 예약하면 되나요?", "어떤 과로 가면 좋을까요?", "어느 진료과인지 알려 주세요.", "무슨 과인지 궁금합니다.",
)  # fmt: skip

# fmt: off
FORMS: dict[str, Forms] = {
    "department": _forms(
        statements=("{s}의 진료과는 {o}입니다.", "{s:이/가} 의심되면 {o:을/를} 찾습니다.", "{o}에서는 {s:을/를} 봅니다."),
        answer="진료과는 {o}입니다.",
        begins=(
            "{s:은/는}", "{s:이/가} 의심되면", "{s} 때문에 병원에 가려면", "{s:으로/로} 진료를 받으려면", "{s:이/가} 있는데", "{s} 환자는",
            "{s:이라고/라고} 들었는데", "{s:이/가} 걱정되면",
        ),
        ends=_WHICH_DEPARTMENT,
        choice=("다음 중 {s:을/를} 진료하는 과는 무엇인가?", "{s:이/가} 있는 사람이 찾아야 할 진료과로 알맞은 것은?"),
    ),
    "symptom": _forms(
        statements=(
            "{s}의 대표적인 증상은 {o}입니다.", "{s:이/가} 있으면 흔히 {o:이/가} 나타납니다.", "{o:은/는} {s}에서 흔히 보이는 증상입니다.",
        ),
        answer="대표적인 증상은 {o}입니다.",
        begins=(
            "{s:은/는}", "{s:이/가} 있으면", "{s:에/에} 걸리면", "{s:이/가} 의심될 때", "{s:이라면/라면}", "{s} 환자는", "{s:이/가} 생기면",
            "{s:을/를} 앓으면",
        ),
        ends=(
            "어떤 증상이 나타나나요?", "무슨 증상이 흔한가요?", "대표적인 증상이 무엇인가요?", "주로 어떤 증상을 보이나요?",
            "어떤 증상부터 살펴야 하나요?", "몸에 어떤 증상이 생기나요?", "흔한 증상을 알려 주세요.", "대표 증상이 궁금합니다.",
        ),
        choice=("다음 중 {s}의 대표적인 증상은 무엇인가?", "{s:이/가} 있을 때 흔히 나타나는 증상으로 알맞은 것은?"),
    ),
    "test": _forms(
        statements=(
            "{s:을/를} 확인하는 대표적인 검사는 {o}입니다.", "{s:이/가} 의심되면 {o:을/를} 합니다.", "{o:은/는} {s} 진단에 쓰입니다.",
        ),
        answer="대표적인 검사는 {o}입니다.",
        begins=(
            "{s:은/는}", "{s:이/가} 의심되면", "{s:을/를} 확인하려면", "{s:을/를} 진단하려면", "{s:인지/인지} 알아보려면",
            "{s:이/가} 걱정되면", "{s} 여부를 알려면", "{s:이/가} 의심된다는데",
        ),
        ends=(
            "어떤 검사를 하나요?", "무슨 검사를 받아야 하나요?", "대표적인 검사가 무엇인가요?", "어떤 검사가 필요한가요?",
            "무슨 검사로 알 수 있나요?", "어떤 검사로 확인하나요?", "받을 검사를 알려 주세요.", "검사 이름이 궁금합니다.",
        ),
        choice=("다음 중 {s:을/를} 확인하는 대표적인 검사는 무엇인가?", "{s:이/가} 의심되는 사람에게 하는 검사로 알맞은 것은?"),
    ),
    "symptom_department": _forms(
        statements=("{s} 증상을 보는 진료과는 {o}입니다.", "{s:이/가} 계속되면 {o:을/를} 찾습니다.", "{o}에서는 {s} 증상을 봅니다."),
        answer="진료과는 {o}입니다.",
        begins=(
            "{s} 증상은", "{s:이/가} 있으면", "{s} 때문에 불편한데", "{s:이/가} 계속되면", "{s:이/가} 심한데", "{s} 증상으로",
            "{s:이/가} 생기면", "요즘 {s:이/가} 있는데",
        ),
        ends=_WHICH_DEPARTMENT,
        choice=("다음 중 {s} 증상을 먼저 상담할 진료과는 무엇인가?", "{s:이/가} 계속될 때 찾을 진료과로 알맞은 것은?"),
    ),
    "drug_class": _forms(
        statements=("{s}의 약 분류는 {o}입니다.", "{o:에는/에는} {s:이/가} 있습니다.", "{s} 성분은 {o:으로/로} 분류됩니다."),
        answer="약 분류는 {o}입니다.",
        begins=(
            "{s:은/는}", "{s} 성분은", "처방받은 {s:은/는}", "{s:이라는/라는} 약은", "{s:이/가} 들어 있는 약은", "약국에서 받은 {s:은/는}",
            "제가 먹는 {s:은/는}", "{s:이라는/라는} 성분은",
        ),
        ends=(
            "어떤 계열인가요?", "무슨 종류인가요?", "어느 계열에 속하나요?", "어떻게 분류되나요?", "약 분류가 무엇인가요?",
            "무슨 약으로 분류되나요?", "분류를 알려 주세요.", "무슨 계열인지 궁금합니다.",
        ),
        choice=("다음 중 {s:이/가} 속하는 계열은 무엇인가?", "{s} 성분의 분류로 알맞은 것은?"),
    ),
    "test_purpose": _forms(
        statements=(
            "{s:으로/로} 확인하는 것은 {o}입니다.", "{s:은/는} {o:을/를} 살펴보는 검사입니다.", "{o:을/를} 볼 때 {s:을/를} 합니다.",
        ),
        answer="확인하는 것은 {o}입니다.",
        begins=(
            "{s:은/는}", "{s:을/를} 하면", "{s:으로/로}", "{s:을/를} 받으면", "{s} 결과로", "{s:을/를} 통해", "{s:을/를} 하자는데",
            "이번에 받는 {s:은/는}",
        ),
        ends=(
            "무엇을 확인하나요?", "무엇을 알 수 있나요?", "무엇을 보려고 하나요?", "어떤 것을 알아보나요?", "무엇을 알게 되나요?",
            "무엇을 살펴보나요?", "무엇을 보는지 알려 주세요.", "무엇을 확인하는지 궁금합니다.",
        ),
        choice=("다음 중 {s:으로/로} 확인하는 것은 무엇인가?", "{s}의 목적으로 알맞은 것은?"),
    ),
    "procedure_purpose": _forms(
        statements=("{s}의 목적은 {o}입니다.", "{s:은/는} {o:을/를} 위한 시술·수술입니다.", "{o:을/를} 위해 {s:을/를} 합니다."),
        answer="목적은 {o}입니다.",
        begins=(
            "{s:은/는}", "{s:을/를} 하면", "{s:을/를} 하자는데", "{s:을/를} 받는다면", "{s:이라는/라는} 것은", "{s:을/를} 권유받았는데",
            "이번에 받는 {s:은/는}", "{s:을/를} 앞두고 있는데",
        ),
        ends=(
            "무엇을 위해 하나요?", "목적이 무엇인가요?", "어떤 목적으로 하나요?", "무엇을 하려는 것인가요?", "왜 필요한가요?",
            "어떤 일을 하나요?", "목적을 알려 주세요.", "무엇을 위한 것인지 궁금합니다.",
        ),
        choice=("다음 중 {s:을/를} 하는 목적은 무엇인가?", "{s}의 목적으로 알맞은 것은?"),
    ),
    "term": _forms(
        statements=(
            "{s}의 의학 용어는 {o}입니다.", "{s:은/는} 의학 용어로 {o:이라고/라고} 합니다.", "{o:은/는} 쉬운 말로 {s:을/를} 뜻합니다.",
        ),
        answer="의학 용어는 {o}입니다.",
        begins=(
            "{s:은/는}", "{s:이라는/라는} 말은", "흔히 말하는 {s:은/는}", "{s:이라는/라는} 표현은", "우리가 {s:이라고/라고} 하는 것은",
            "쉬운 말 {s:은/는}", "일상에서 쓰는 {s:은/는}", "환자가 말하는 {s:은/는}",
        ),
        ends=(
            "의학 용어로 무엇인가요?", "병원에서 뭐라고 부르나요?", "의사들은 어떻게 말하나요?", "의학 용어로 뭐라고 하나요?",
            "정식 명칭이 무엇인가요?", "의학에서는 어떻게 부르나요?", "의학 용어를 알려 주세요.", "전문 용어가 궁금합니다.",
        ),
        choice=("다음 중 {s:을/를} 뜻하는 의학 용어는 무엇인가?", "쉬운 말 {s:을/를} 의학 용어로 옮긴 것으로 알맞은 것은?"),
    ),
}
# fmt: on

# Wordings written apart from the ones above: neither beginning nor end is ever trained. They measure free paraphrase, reported on its own.
FREE: dict[str, tuple[str, ...]] = {
    "department": ("{s} 진료는 어디서 보나요?", "{s:을/를} 봐 주는 데가 병원의 어디인가요?"),
    "symptom": ("{s}일 때 느끼는 불편은 뭔가요?", "{s:을/를} 알아챌 만한 신호가 있을까요?"),
    "test": ("{s} 확진은 무엇으로 하죠?", "{s:을/를} 밝혀 주는 대표 검사 하나만 말해 주세요."),
    "symptom_department": ("{s} 때문에 예약을 잡으려 해요. 어디로 할까요?", "{s:이/가} 나타났을 때 먼저 들를 곳을 추천해 주세요."),
    "drug_class": ("{s:이/가} 무슨 약인지 설명해 주세요.", "{s:은/는} 약효로 치면 어디에 드나요?"),
    "test_purpose": ("{s:은/는} 왜 하는 건가요?", "{s}의 목적이 뭐죠?"),
    "procedure_purpose": ("{s:으로/로} 뭐가 나아지나요?", "의사가 {s:을/를} 하는 까닭이 뭐죠?"),
    "term": ("진단서에는 {s:을/를} 어떻게 적나요?", "{s:을/를} 어려운 말로 바꿔 주세요."),
}

# How people begin; put before some training questions so that a model does not tie an answer to the place of a word.
OPENINGS = (
    "안녕하세요.", "궁금한 게 있어요.", "질문 드립니다.", "가족 일로 여쭤봅니다.", "어머니가 궁금해하세요.", "처음 문의드려요.",
    "급하지는 않은데요.", "인터넷에서 봤는데요.", "저기요,", "혹시", "친구가 물어봐서요.", "미리 알아두고 싶어요.",
    "건강검진을 앞두고 있어요.", "아버지 때문에 여쭤요.",
)  # fmt: skip


class _Word(str):
    """A word whose format spec is a particle pair: f"{word:은/는}"."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return attach(self, spec) if spec else str(self)


def fill(form: str, fact: Fact) -> str:
    """One wording with the words of the fact and the right particles."""
    return form.format(s=_Word(fact.subject), o=_Word(fact.object))


def answer(fact: Fact) -> str:
    """The right answer to every question on this fact."""
    return fill(FORMS[fact.relation].answer, fact)


def statement(fact: Fact) -> str:
    """The plain sentence of a fact, the context of a grounded question."""
    return fill(FORMS[fact.relation].statements[0], fact)
