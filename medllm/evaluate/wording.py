"""How an answer is worded, whatever it says: polite Korean, no loops, no foreign script, an end."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

_POLITE = re.compile(r"(요|니다|니까|십시오|시오|죠|까요)[.!?~…\"')\]\s]*$")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_RUN = re.compile(r"(\S.{1,19}?)\1{3,}")  # one run of letters four times in a row
_WORDS, _TIMES = 4, 3  # a run of words, and how often it may not come
_KOREAN = ("HANGUL", "LATIN", "GREEK", "FULLWIDTH LATIN", "MICRO", "OHM", "ANGSTROM", "KELVIN", "FEMININE", "MASCULINE")
_LATIN_WORD = re.compile(r"[A-Za-z]{3,}")


def is_polite(text: str) -> bool:
    """Every sentence ends in 존댓말; an empty text is not polite."""
    sentences = [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()]
    return bool(sentences) and all(_POLITE.search(sentence) for sentence in sentences)


def repeats_itself(text: str) -> bool:
    """The same four words three times, or one run of letters four times in a row."""
    words = text.split()
    runs = Counter(tuple(words[at : at + _WORDS]) for at in range(len(words) - _WORDS + 1))
    return any(count >= _TIMES for count in runs.values()) or _RUN.search(text) is not None


def has_foreign_script(text: str, *, given: Sequence[str]) -> bool:
    """Letters that no Korean medical answer needs (Han, Kana, Cyrillic ...), or a Latin word that none of the `given` texts holds."""
    if any(True for _ in _foreign_letters(text)):
        return True
    known = " ".join(given).casefold()
    return any(word.casefold() not in known for word in _LATIN_WORD.findall(text))


def _foreign_letters(text: str) -> Iterator[str]:
    for letter in text:
        if unicodedata.category(letter).startswith("L") and not unicodedata.name(letter, "").startswith(_KOREAN):
            yield letter


def wording(text: str, *, given: Sequence[str], ended: bool) -> dict[str, int]:
    """0/1 marks of one generated answer: polite, repeated, foreign, unended, empty."""
    return {
        "polite": int(is_polite(text)), "repeated": int(repeats_itself(text)), "foreign": int(has_foreign_script(text, given=given)),
        "unended": int(not ended), "empty": int(not text.strip()),
    }  # fmt: skip


MARKS = {
    "polite": "polite_rate", "repeated": "repetition_rate", "foreign": "foreign_script_rate", "unended": "unended_rate",
    "empty": "unanswered_rate",
}  # fmt: skip
