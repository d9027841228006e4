"""The problem families of the maths generator: each draws one problem with its computed answer, its solution and four wrong options."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

_SURVEYS = (
    ("학생", "안경을 썼을", "안경을 쓴"),
    ("학생", "버스를 탔을", "버스를 탄"),
    ("회원", "책을 빌렸을", "책을 빌린"),
    ("손님", "우산을 샀을", "우산을 산"),
)
_UNITS = (("g", "은", "mg"), ("L", "는", "mL"), ("km", "는", "m"), ("kg", "은", "g"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a family draws: `stem` ends in the noun that is asked for, `wrong` holds four options that are not the answer."""

    stem: str
    answer: str
    solution: str
    wrong: tuple[str, ...]


def _others(rng: Random, right: int, form: str, *mistakes: int) -> tuple[str, ...]:
    """Four wrong values in the written form of the answer: usual mistakes first, then neighbours of the same sign and roundness."""
    step = next(size for size in (1000, 100, 10, 1) if right % size == 0 and (size == 1 or abs(right) >= 3 * size))
    found = dict.fromkeys(value for value in mistakes if value != right and (value > 0) == (right > 0))
    while len(found) < 4:
        value = right + step * rng.choice((-5, -4, -3, -2, -1, 1, 2, 3, 4, 5))
        if value != right and (value > 0 or right <= 0):
            found[value] = None
    return tuple(form.format(value) for value in list(found)[:4])


def _nonzero(rng: Random, low: int, high: int) -> int:
    return rng.choice([value for value in range(low, high + 1) if value])


def _line(slope: int, shift: int) -> str:
    """`slope`x+`shift` as it is written."""
    head = {1: "x", -1: "-x"}.get(slope, f"{slope}x")
    return head + (f"{shift:+d}" if shift else "")


def _linear_equation(rng: Random) -> Draft:
    a, b, x = rng.randint(2, 9), _nonzero(rng, -12, 12), _nonzero(rng, -9, 12)
    return Draft(
        stem=f"일차방정식 ${_line(a, b)}={a * x + b}$의 해",
        answer=f"$x={x}$",
        solution=f"${a}x={a * x}$이므로 $x={x}$이다.",
        wrong=_others(rng, x, "$x={}$", x + b),
    )


def _proportion(rng: Random) -> Draft:
    a, b, k = rng.randint(2, 12), rng.randint(2, 12), rng.randint(2, 9)
    return Draft(
        stem=f"비례식 ${a}:{b}={a * k}:x$에서 $x$의 값",
        answer=f"${b * k}$",
        solution=f"외항의 곱과 내항의 곱은 같으므로 ${a}x={a * b * k}$이고, $x={b * k}$이다.",
        wrong=_others(rng, b * k, "${}$", b + a * k - a, a * k),
    )


def _percentage(rng: Random) -> Draft:
    whole, rate = 20 * rng.randint(2, 40), 5 * rng.randint(1, 19)
    who, did, doing = rng.choice(_SURVEYS)
    part = whole * rate // 100
    return Draft(
        stem=f"{who} ${whole}$명 중 ${rate}\\%$가 {did} 때, {doing} {who} 수",
        answer=f"${part}$명",
        solution=f"${whole}\\times\\frac{{{rate}}}{{100}}={part}$(명)이다.",
        wrong=_others(rng, part, "${}$명", whole - part),
    )


def _discount(rng: Random) -> Draft:
    price, rate = 1000 * rng.randint(2, 60), 5 * rng.randint(1, 12)
    cut = price * rate // 100
    return Draft(
        stem=f"정가가 ${price}$원인 물건을 ${rate}\\%$ 할인하여 팔 때, 판매 가격",
        answer=f"${price - cut}$원",
        solution=f"할인한 금액이 ${cut}$원이므로 판매 가격은 ${price}-{cut}={price - cut}$(원)이다.",
        wrong=_others(rng, price - cut, "${}$원", cut, price + cut),
    )


def _mean(rng: Random) -> Draft:
    size = rng.randint(3, 5)
    values = [rng.randint(1, 40) for _ in range(size - 1)]
    values.append(size * rng.randint(1, 8) + (-sum(values)) % size)
    total = sum(values)
    return Draft(
        stem=f"{size}개의 수 ${', '.join(map(str, values))}$의 평균",
        answer=f"${total // size}$",
        solution=f"합이 ${total}$이고 수가 ${size}$개이므로 평균은 ${total}\\div {size}={total // size}$이다.",
        wrong=_others(rng, total // size, "${}$", sorted(values)[size // 2]),
    )


def _triangle_area(rng: Random) -> Draft:
    base, height = 2 * rng.randint(2, 15), rng.randint(3, 45)
    return Draft(
        stem=f"밑변의 길이가 ${base}$ cm, 높이가 ${height}$ cm인 삼각형의 넓이",
        answer=f"${base * height // 2}$ cm$^2$",
        solution=f"${base}\\times {height}\\div 2={base * height // 2}$(cm$^2$)이다.",
        wrong=_others(rng, base * height // 2, "${}$ cm$^2$", base * height, base + height),
    )


def _distance(rng: Random) -> Draft:
    speed, hours, who = 5 * rng.randint(6, 24), rng.randint(2, 9), rng.choice(("자동차", "버스", "기차", "택시"))
    return Draft(
        stem=f"시속 ${speed}$ km로 달리는 {who}가 ${hours}$시간 동안 간 거리",
        answer=f"${speed * hours}$ km",
        solution=f"거리는 속력과 시간의 곱이므로 ${speed}\\times {hours}={speed * hours}$(km)이다.",
        wrong=_others(rng, speed * hours, "${}$ km", speed + hours),
    )


def _gcd(rng: Random) -> Draft:
    g, (a, b) = rng.randint(2, 20), rng.choice([(a, b) for a in range(2, 10) for b in range(a + 1, 11) if math.gcd(a, b) == 1])
    return Draft(
        stem=f"두 수 ${g * a}$, ${g * b}$의 최대공약수",
        answer=f"${g}$",
        solution=f"${g * a}={g}\\times {a}$, ${g * b}={g}\\times {b}$이므로 최대공약수는 ${g}$이다.",
        wrong=_others(rng, g, "${}$", g * a * b),
    )


def _lcm(rng: Random) -> Draft:
    g, (a, b) = rng.randint(2, 20), rng.choice([(a, b) for a in range(2, 10) for b in range(a + 1, 11) if math.gcd(a, b) == 1])
    return Draft(
        stem=f"두 수 ${g * a}$, ${g * b}$의 최소공배수",
        answer=f"${g * a * b}$",
        solution=f"최대공약수가 ${g}$이므로 최소공배수는 ${g}\\times {a}\\times {b}={g * a * b}$이다.",
        wrong=_others(rng, g * a * b, "${}$", g, g * g * a * b),
    )


def _powers(exponents: dict[int, int]) -> str:
    return "\\times ".join(str(p) if e == 1 else f"{p}^{e}" for p, e in exponents.items() if e)


def _prime_factors(rng: Random) -> Draft:
    primes = sorted(rng.sample((2, 3, 5, 7, 11, 13), rng.choice((2, 2, 3))))
    right = {p: rng.randint(1, 4 if p == 2 else 2) for p in primes}
    value = math.prod(p**e for p, e in right.items())
    wrong: dict[str, None] = {}
    while len(wrong) < 4:
        shown = {p: max(1, e + rng.choice((-1, 0, 1, 2))) for p, e in right.items()}
        if shown != right:
            wrong[f"${_powers(shown)}$"] = None
    return Draft(
        stem=f"${value}$의 소인수분해 결과",
        answer=f"${_powers(right)}$",
        solution=f"${value}$의 소인수는 ${', '.join(map(str, primes))}$이고, ${value}={_powers(right)}$이다.",
        wrong=tuple(wrong),
    )


def _function_value(rng: Random) -> Draft:
    a, b, x = _nonzero(rng, -9, 9), _nonzero(rng, -15, 15), _nonzero(rng, -6, 9)
    y = a * x + b
    return Draft(
        stem=f"일차함수 $y={_line(a, b)}$에서 $x={x}$일 때, $y$의 값",
        answer=f"${y}$",
        solution=f"$y={a}\\times {x if x > 0 else f'({x})'}{b:+d}={y}$이다.",
        wrong=_others(rng, y, "${}$", a * x - b, a + x + b),
    )


def _slope(rng: Random) -> Draft:
    a, x, run, y = _nonzero(rng, -6, 8), rng.randint(-5, 5), rng.randint(2, 5), rng.randint(-9, 9)
    return Draft(
        stem=f"두 점 $({x}, {y})$, $({x + run}, {y + a * run})$을 지나는 직선의 기울기",
        answer=f"${a}$",
        solution=f"$x$의 값이 ${run}$ 늘어날 때 $y$의 값의 변화는 ${a * run}$이므로 기울기는 ${a}$이다.",
        wrong=_others(rng, a, "${}$", a * run),
    )


def _simultaneous(rng: Random) -> Draft:
    x, y, a = _nonzero(rng, -6, 9), _nonzero(rng, -6, 9), rng.randint(2, 6)
    pairs = dict.fromkeys((p, q) for p, q in ((y, x), (-x, y), (x, -y)) if (p, q) != (x, y))
    while len(pairs) < 4:
        pairs[(x + rng.choice((-2, -1, 1, 2)), y + rng.choice((-1, 0, 1)))] = None
    return Draft(
        stem=f"연립방정식 $x+y={x + y}$, ${a}x-y={a * x - y}$의 해",
        answer=f"$x={x}, y={y}$",
        solution=f"두 식을 더하면 ${a + 1}x={(a + 1) * x}$이므로 $x={x}$, $y={y}$이다.",
        wrong=tuple(f"$x={p}, y={q}$" for p, q in list(pairs)[:4]),
    )


def _tex(value: Fraction) -> str:
    return f"$\\frac{{{value.numerator}}}{{{value.denominator}}}$"


def _probability(rng: Random) -> Draft:
    red, blue = rng.randint(1, 15), rng.randint(1, 15)
    thing, first, second = rng.choice((("공", "빨간", "파란"), ("구슬", "흰", "검은"), ("카드", "노란", "초록")))
    total = red + blue
    right, wrong = Fraction(red, total), {Fraction(blue, total): None, Fraction(min(red, blue), max(red, blue)): None}
    while len(wrong) < 6:
        wrong[Fraction(rng.randint(1, total), total + rng.randint(0, 4))] = None
    return Draft(
        stem=f"{first} {thing} ${red}$개와 {second} {thing} ${blue}$개 중에서 한 개를 뽑을 때, {first} {thing}일 확률",
        answer=_tex(right),
        solution=f"전체 ${total}$개 중 {first} {thing} ${red}$개이므로 확률은 {_tex(right)}이다.",
        wrong=tuple(_tex(value) for value in wrong if value not in (1, right))[:4],
    )


def _series_sum(rng: Random) -> Draft:
    first, gap, size = rng.randint(1, 12), rng.randint(2, 9), rng.randint(6, 20)
    last = first + gap * (size - 1)
    total = size * (first + last) // 2
    return Draft(
        stem=f"첫째항이 ${first}$, 공차가 ${gap}$인 등차수열의 첫째항부터 제${size}$항까지의 합",
        answer=f"${total}$",
        solution=f"제${size}$항이 ${last}$이므로 합은 ${size}\\times ({first}+{last})\\div 2={total}$이다.",
        wrong=_others(rng, total, "${}$", 2 * total, total - last),
    )


def _solution_amount(rng: Random) -> Draft:
    strength, volume = rng.randint(2, 40), 5 * rng.randint(1, 40)
    return Draft(
        stem=f"$1$ mL에 어떤 성분이 ${strength}$ mg 들어 있는 용액 ${volume}$ mL에 들어 있는 그 성분의 양",
        answer=f"${strength * volume}$ mg",
        solution=f"${strength}\\times {volume}={strength * volume}$(mg)이다.",
        wrong=_others(rng, strength * volume, "${}$ mg", strength + volume, 10 * strength * volume),
    )


def _unit(rng: Random) -> Draft:
    large, josa, small = rng.choice(_UNITS)
    tenths = rng.choice([value for value in range(2, 400) if value % 10])
    value = 100 * tenths
    return Draft(
        stem=f"${tenths / 10}$ {large}의 {small} 단위 값",
        answer=f"${value}$ {small}",
        solution=f"$1$ {large}{josa} $1000$ {small}이므로 ${tenths / 10}\\times 1000={value}$({small})이다.",
        wrong=_others(rng, value, f"${{}}$ {small}", 10 * tenths, 1000 * tenths),
    )


def _salt_water(rng: Random) -> Draft:
    rate, total = rng.randint(2, 30), 100 * rng.randint(1, 20)
    salt = total * rate // 100
    return Draft(
        stem=f"물 ${total - salt}$ g에 소금 ${salt}$ g을 녹인 소금물의 농도",
        answer=f"${rate}\\%$",
        solution=f"소금물이 ${total}$ g이므로 농도는 $\\frac{{{salt}}}{{{total}}}\\times 100={rate}(\\%)$이다.",
        wrong=_others(rng, rate, "${}\\%$", 2 * rate),
    )


def _quadratic(rng: Random) -> Draft:
    p, q = sorted(rng.sample([value for value in range(-14, 15) if value], 2))
    while p + q == 0:
        q += 1
    both = f"x^2{'+' if p + q < 0 else '-'}{'' if abs(p + q) == 1 else abs(p + q)}x{p * q:+d}"
    pairs = dict.fromkeys(tuple(sorted(pair)) for pair in ((-p, -q), (-p, q), (p, -q), (p, q + 1), (p - 1, q), (p - 1, q + 1)))
    wrong = [f"$x={low}$ 또는 $x={high}$" for low, high in pairs if (low, high) != (p, q) and low != high]
    return Draft(
        stem=f"이차방정식 ${both}=0$의 해",
        answer=f"$x={p}$ 또는 $x={q}$",
        solution=f"$(x{-p:+d})(x{-q:+d})=0$이므로 $x={p}$ 또는 $x={q}$이다.",
        wrong=tuple(wrong[:4]),
    )


FAMILIES: dict[str, tuple[str, int, Callable[[Random], Draft]]] = {
    "linear_equation": ("중등", 1, _linear_equation),
    "proportion": ("초등", 6, _proportion),
    "percentage": ("초등", 6, _percentage),
    "discount": ("중등", 1, _discount),
    "mean": ("초등", 5, _mean),
    "triangle_area": ("초등", 5, _triangle_area),
    "distance": ("초등", 6, _distance),
    "gcd": ("중등", 1, _gcd),
    "lcm": ("중등", 1, _lcm),
    "prime_factors": ("중등", 1, _prime_factors),
    "function_value": ("중등", 2, _function_value),
    "slope": ("중등", 2, _slope),
    "simultaneous": ("중등", 2, _simultaneous),
    "probability": ("중등", 2, _probability),
    "series_sum": ("고등", 1, _series_sum),
    "solution_amount": ("초등", 6, _solution_amount),
    "unit": ("초등", 5, _unit),
    "salt_water": ("중등", 1, _salt_water),
    "quadratic": ("중등", 3, _quadratic),
}
"""Family -> (school level, grade, draw)."""
