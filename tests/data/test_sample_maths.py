"""The maths generator: invariants of every problem, and answers recomputed from the question text alone."""

import math
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import pytest

from medllm.data.sample.maths import MARKS, MathsProblem, problems
from medllm.data.sample.maths_families import FAMILIES
from medllm.errors import UserError

PROBLEMS = problems(1000, seed=7)


def _numbers(text: str) -> list[Fraction]:
    return [Fraction(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def _at(expression: str, **values: int) -> int:
    """Value of a LaTeX polynomial such as 3x-5 or x^2+2x-3."""
    for name, value in values.items():
        expression = re.sub(rf"(?<=\d){name}", f"*({value})", expression).replace(name, f"({value})")
    assert re.fullmatch(r"[\d\s+*()^-]+", expression)
    return int(eval(expression.replace("^", "**")))


def _sides(question: str) -> list[tuple[str, str]]:
    """Every equation of the question as (left, right)."""
    return [(left, right) for left, right in re.findall(r"\$([^$=]*[xy][^$=]*)=([^$=]+)\$", question)]


def _solves(question: str, answer: str) -> bool:
    values = {name: int(value) for name, value in re.findall(r"([xy])=(-?\d+)", answer)}
    equations = _sides(question)
    return bool(equations) and all(_at(left, **values) == _at(right, **values) for left, right in equations)


def _roots(question: str, answer: str) -> bool:
    roots = set(re.findall(r"x=-?\d+", answer))
    return len(roots) == 2 and all(_solves(question, root) for root in roots)


def _is(value: Fraction | int, answer: str) -> bool:
    return _numbers(answer)[0] == value


def _proportion(question: str, answer: str) -> bool:
    a, b, c = _numbers(question)
    return _is(b * c / a, answer)


def _mean(question: str, answer: str) -> bool:
    size, *values = _numbers(question)
    return size == len(values) and _is(sum(values) / size, answer)


def _percent(question: str, answer: str) -> bool:
    whole, rate = _numbers(question)
    return _is(whole * rate / 100, answer)


def _discount(question: str, answer: str) -> bool:
    price, rate = _numbers(question)
    return _is(price - price * rate / 100, answer)


def _gcd(question: str, answer: str) -> bool:
    return _is(math.gcd(*map(int, _numbers(question))), answer)


def _lcm(question: str, answer: str) -> bool:
    return _is(math.lcm(*map(int, _numbers(question))), answer)


def _prime_factors(question: str, answer: str) -> bool:
    powers = [(int(base), int(power or 1)) for base, power in re.findall(r"(\d+)(?:\^(\d+))?", answer)]
    prime = all(all(base % divisor for divisor in range(2, base)) for base, _ in powers)
    return prime and _is(math.prod(base**power for base, power in powers), question)


def _product(question: str, answer: str) -> bool:
    return _is(math.prod(_numbers(question)), answer)


def _triangle(question: str, answer: str) -> bool:
    return _is(math.prod(_numbers(question)) / 2, answer)


def _function_value(question: str, answer: str) -> bool:
    match = re.search(r"y=([^$]+)\$에서 \$x=(-?\d+)\$", question)
    assert match
    return _is(_at(match[1], x=int(match[2])), answer)


def _slope(question: str, answer: str) -> bool:
    x1, y1, x2, y2 = _numbers(question)
    return _is((y2 - y1) / (x2 - x1), answer)


def _probability(question: str, answer: str) -> bool:
    first, second = _numbers(question)
    top, bottom = _numbers(answer)
    return top / bottom == first / (first + second) and math.gcd(int(top), int(bottom)) == 1


def _series(question: str, answer: str) -> bool:
    first, gap, size = map(int, _numbers(question))
    return _is(sum(range(first, first + gap * size, gap)), answer)


def _unit(question: str, answer: str) -> bool:
    return _is(_numbers(question)[0] * 1000, answer)


def _salt(question: str, answer: str) -> bool:
    water, salt = _numbers(question)
    return _is(100 * salt / (water + salt), answer)


CHECKS: dict[str, Callable[[str, str], bool]] = {
    "linear_equation": _solves,
    "simultaneous": _solves,
    "quadratic": _roots,
    "proportion": _proportion,
    "percentage": _percent,
    "discount": _discount,
    "mean": _mean,
    "triangle_area": _triangle,
    "distance": _product,
    "gcd": _gcd,
    "lcm": _lcm,
    "prime_factors": _prime_factors,
    "function_value": _function_value,
    "slope": _slope,
    "probability": _probability,
    "series_sum": _series,
    "solution_amount": _product,
    "unit": _unit,
    "salt_water": _salt,
}


def _of(family: str) -> list[MathsProblem]:
    return [problem for problem in PROBLEMS if problem.family == family]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_answers_follow_from_the_question_text(family: str) -> None:
    check = CHECKS[family]  # a new family needs an independent check
    drawn = _of(family)
    assert len(drawn) >= 20
    for problem in drawn:
        question = problem.question
        if family == "solution_amount":
            question = question.replace("$1$ mL에", "")
        assert check(question, problem.answer), problem
        for option in problem.options:
            assert (option == problem.answer) == check(question, option), (option, problem)


def test_same_seed_same_problems_other_seed_other_problems() -> None:
    assert problems(200, seed=7) == PROBLEMS[:200]
    assert problems(200, seed=8) != PROBLEMS[:200]


def test_questions_and_ids_are_unique() -> None:
    assert len({problem.question for problem in PROBLEMS}) == len(PROBLEMS)
    assert len({problem.id for problem in PROBLEMS}) == len(PROBLEMS)


def test_several_thousand_are_possible_and_too_many_are_refused_in_one_line() -> None:
    families = Counter(problem.family for problem in problems(4000, seed=1))
    assert max(families.values()) - min(families.values()) <= 1
    with pytest.raises(UserError, match=r"^maths problems: family \w+ has no new question after \d+ problems; lower sample\.num_maths$"):
        problems(100_000, seed=1)


def test_two_thirds_are_multiple_choice_with_balanced_marks() -> None:
    choice = [problem for problem in PROBLEMS if problem.options]
    assert len(choice) / len(PROBLEMS) == pytest.approx(2 / 3, abs=0.01)
    marks = Counter(problem.answer_mark for problem in choice)
    assert set(marks) == set(MARKS)
    assert max(marks.values()) - min(marks.values()) <= 1
    # The position must not follow from the running number: validation items are every fifth one.
    assert set(Counter(problem.answer_mark for problem in PROBLEMS[4::5] if problem.options)) == set(MARKS)


def test_form_of_every_problem() -> None:
    for problem in PROBLEMS:
        assert re.fullmatch(r"S3_(초등|중등|고등)_[1-6]_9\d{5}", problem.id)
        assert problem.school[:2] == {"초등": "초등", "중등": "중학", "고등": "고등"}[problem.id[3:5]]
        assert problem.grade == f"{problem.id[6]}학년"
        for text in (problem.question, problem.answer, problem.solution, *problem.options):
            assert text.count("$") % 2 == 0, problem
            assert not re.search(r"--|\+-|\+0|\b1x", text), problem
        assert problem.question.endswith("?" if problem.options else "구하시오.")
        numbers = re.findall(r"\d+", problem.answer)
        assert all(number in problem.solution for number in numbers), problem
        assert problem.solution.count(".") - len(re.findall(r"\d\.\d", problem.solution)) == 1
        if problem.options:
            assert len(set(problem.options)) == 5
            assert problem.options[MARKS.index(problem.answer_mark)] == problem.answer
        else:
            assert not problem.answer_mark
