"""Sentences and morphemes of Korean text by kiwipiepy, with one analyser for the whole process.

The analyser is loaded with the first text: 0.7 s and some 245 MB. Its "cong" model is the fastest of those it comes with; the extra word
lists (proper names, typing errors) are left out, they cost 270 MB.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiwipiepy import Kiwi


@dataclass(frozen=True, slots=True, kw_only=True)
class Morpheme:
    """A morpheme: canonical `form`, Sejong `tag` without irregularity marks (NNG, VV, JKS, ...), text[start:end] where it stands."""

    form: str
    tag: str
    start: int
    end: int


@lru_cache(maxsize=1)
def shared_kiwi() -> "Kiwi":
    """The one analyser of this process; single-threaded, so that equal texts give equal answers at a known cost."""
    from kiwipiepy import Kiwi

    return Kiwi(num_workers=1, model_type="cong", load_default_dict=False, load_typo_dict=False, load_multi_dict=False)


def split_sentences(text: str) -> list[str]:
    """Sentences in order, without the white space around them; a line break always ends one. Empty text has none."""
    lines = [line.strip() for line in text.splitlines()]
    return [sentence for line in lines if line for sentence in _sentences_of(line)]


def _sentences_of(line: str) -> list[str]:
    return [stripped for found in shared_kiwi().split_into_sents(line) if (stripped := line[found.start : found.end].strip())]


def morphemes(text: str) -> list[Morpheme]:
    """Morphemes of NFC text in order; a contracted syllable (했 = 하 + 었) belongs to both of its morphemes."""
    return [
        Morpheme(form=token.form, tag=token.tag.partition("-")[0], start=token.start, end=token.end)
        for token in shared_kiwi().tokenize(text)
    ]
