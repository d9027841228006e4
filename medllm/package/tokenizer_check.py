"""The packaged runtime must read text exactly as training did: compared on many varied Korean lines, never assumed."""

import random
from collections.abc import Callable, Iterator, Sequence

_PIECES = (
    "혈압 120/80 mmHg", "①②③④⑤", "㎎ ㎖ ℃", "ㅋㅋㅋ ㅠㅠ", "ㄱㅏㄴㅏ", "🙂🚑💊", "<|endoftext|>", "<|pad|>", "HbA1c 6.5%", "J18.9",
    "１２３", "\t탭", "  두 칸", "한자 漢字",
    "NFD 가", "…", "“따옴표”", "can't they're", "https", "0.5mg/정", "\n줄", "\u200b폭 없음", "¿é", "Ⅳ기", "½정", "1~2주", "(주)",
)  # fmt: skip


def lines(texts: Sequence[str], count: int, *, seed: int) -> Iterator[str]:
    """`count` deterministic lines: real texts cut and mixed with jamo, symbols, emoji and things that look like control tokens."""
    rng = random.Random(seed)
    for number in range(count):
        text = texts[number % len(texts)]
        start = rng.randrange(max(1, len(text) - 1))
        parts = [text[start : start + rng.randint(1, 60)], rng.choice(_PIECES), rng.choice(texts)[: rng.randint(1, 30)]]
        rng.shuffle(parts)
        yield rng.choice(("", " ", "  ")).join(parts)


def check_tokenizers(
    ours: Callable[[str], list[int]], theirs: Callable[[str], list[int]], texts: Sequence[str], *, count: int, seed: int
) -> int:
    """Number of lines compared. RuntimeError with the first line on which the two give other ids."""
    for line in lines(texts, count, seed=seed):
        if ours(line) != theirs(line):
            raise RuntimeError(f"the packaged runtime tokenizes {line!r} differently from training; do not ship this model")
    return count
