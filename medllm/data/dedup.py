"""What makes two items copies: exact keys, and the texts by which near-duplicates are found."""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from medllm.data.aihub.options import squeeze
from medllm.data.minhash import letters
from medllm.data.records import Record

# Below this a statement is a sentence or two: a fact in a fixed wording, where one other word makes another fact. Only exact copies go.
_DOCUMENT_LETTERS = 200
_NUMBERS = re.compile(r"\$[^$]*\$|\d+(?:[.,]\d+)*")
_SEP = "\x1f"
_ONE_EXCHANGE = 2
SketchKind = Literal["stem", "document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A bare text by which an item is compared, and the block in which it may have near-duplicates."""

    kind: SketchKind
    text: str
    block: str = ""


def digest(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def exact_key(record: Record) -> str:
    """Equal for copies of an item, whatever their spacing and the order of their options.

    Maths problems also need equal answers: with the figure gone, a twelfth of the questions read the same.
    """
    if record.text:
        return squeeze(record.text)
    if record.messages:
        return _SEP.join(squeeze(text) for _, text in record.messages)
    last = record.must if record.kind == "solution" else ()
    return _SEP.join(map(squeeze, (record.question, record.passage, *sorted(record.options), *last)))


def answer_key(record: Record) -> bytes:
    """Equal for questions with one answer, whatever its spacing and case. Empty for running text and chats."""
    return digest(letters(record.answer)) if record.question and record.answer else b""


def options_key(record: Record) -> bytes:
    """Equal for one set of options in any order; empty without options."""
    return digest(_SEP.join(sorted(map(squeeze, record.options)))) if record.options else b""


def question_of(record: Record) -> str:
    """What a user asks without further context: the stem, or the first turn of a chat of one exchange; "" for all that is longer."""
    if record.messages:
        turns = [text for role, text in record.messages if role != "system"]
        return turns[0] if len(turns) == _ONE_EXCHANGE else ""
    return "" if record.text or record.passage else record.question


def sketch(record: Record) -> Sketch | None:
    """How the item is compared; None for short running text, of which only exact copies count.

    A stem is compared without its options: one stem with other options is one cluster. A problem is compared among those with the same
    formulas and numbers: with another number it is another problem, however alike they read. A question on a passage ("윗글에 대한 설명으로
    알맞은 것은?") goes by its passage.
    """
    question = question_of(record)
    if question:
        block = squeeze(_SEP.join(_NUMBERS.findall(question))) if record.kind == "solution" else ""
        return Sketch(kind="stem", text=letters(question), block=block)
    text = letters(record.text or record.passage or "\n".join(text for _, text in record.messages))
    return Sketch(kind="document", text=text) if len(text) >= _DOCUMENT_LETTERS else None
