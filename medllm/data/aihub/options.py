"""Rebuild the options of a multiple-choice item from marked text: "1) ..." as in the medical sets, "① ..." as in the school sets."""

import re
from collections.abc import Sequence

NUMBERS = tuple(f"{number})" for number in range(1, 6))
CIRCLED = tuple("①②③④⑤")
Marked = list[tuple[str, str]]
_PATTERNS = {style: "|".join(map(re.escape, style)) for style in (NUMBERS, CIRCLED)}


def squeeze(text: str) -> str:
    """Text without any white space: Korean spacing differs between copies of one sentence."""
    return "".join(text.split())


def marked_parts(text: str, style: Sequence[str], *, lines_only: bool) -> tuple[str, Marked]:
    """Text before the first mark, and (mark, text) in order. A mark counts at a line start, or after any space unless `lines_only`."""
    before = r"(?:^|(?<=\n))" if lines_only else r"(?:^|(?<=\s))"
    pieces = re.split(f"{before}({_PATTERNS[tuple(style)]})", text)
    return pieces[0].strip(), [(mark, rest.strip()) for mark, rest in zip(pieces[1::2], pieces[2::2], strict=True)]


def split_stem(text: str, style: Sequence[str], *, count: int) -> tuple[str, tuple[str, ...]] | None:
    """Stem and options of a question that ends in exactly `count` marked options in order; None when it does not.

    Line-start marks are tried first, since a stem or an option may hold "2)" inside; an earlier numbered list stays in the stem.
    """
    for lines_only in (True, False):
        stem, parts = marked_parts(text, style, lines_only=lines_only)
        marks = [mark for mark, _ in parts]
        if marks[-count:] != list(style[:count]) or not all(option for _, option in parts[-count:]):
            continue
        listed = "\n".join([stem, *(f"{mark} {rest}" for mark, rest in parts[:-count])]).strip()
        if listed:
            return listed, tuple(option for _, option in parts[-count:])
    return None


def split_mark(text: str, style: Sequence[str]) -> tuple[int | None, str]:
    """Index of the leading mark (None without one) and the text after it."""
    for index, mark in enumerate(style):
        if text.startswith(mark):
            return index, text[len(mark) :].strip()
    return None, text


def merge_marked(right: str, wrong: str) -> tuple[tuple[str, ...], int] | None:
    """Options in the order of their marks from the right option and the text of the wrong ones; None when a mark is missing or twice."""
    index, answer = split_mark(right, CIRCLED)
    if index is None or not answer:
        return None
    before, parts = marked_parts(wrong, CIRCLED, lines_only=True)
    if before or len(parts) == 1:  # several options on one line
        before, parts = marked_parts(wrong, CIRCLED, lines_only=False)
    options = sorted([(CIRCLED[index], answer), *parts])
    marks = [mark for mark, _ in options]
    if before or len(options) < 2 or marks != list(CIRCLED[: len(marks)]) or not all(text for _, text in options):
        return None
    return tuple(text for _, text in options), index
