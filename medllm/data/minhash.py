"""MinHash signatures of Korean texts, and the pairs of them that are alike (Broder 1997; banding after Leskovec et al., ch. 3).

Korean copies differ in spacing, so texts are compared without it: word shingles give 0.18 for a sentence that space-free character
3-grams give 1.0. Signatures find candidates; whoever uses them verifies each on the texts.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_PERM = 128
STEM_GRAM, DOCUMENT_GRAM = 3, 5  # characters; a long text shares 3-grams with every other
_SEED = 20_240
_RECALL = 0.999  # of pairs that are exactly as alike as the threshold
_SLACK = 0.12  # 3.4 standard deviations of the estimate at 0.8 (sqrt(0.8 * 0.2 / 128) = 0.035)
_CHUNK = 1 << 15  # pairs compared at a time: 32 MiB of signatures
# odd 64-bit constants: the hash of a gram is the wrapped sum of code points times these
_WEIGHTS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5, 0x85EBCA77C2B2AE63)


_DROPPED = {"Zs", "Zl", "Zp", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Cc", "Cf"}
_BASIC_PLANE = map(chr, range(0x10000))
_NOT_LETTERS = re.compile(f"[{''.join(re.escape(c) for c in _BASIC_PLANE if unicodedata.category(c) in _DROPPED)}]+")


def letters(text: str) -> str:
    """Text without spaces, punctuation, control characters and case, in NFC. Signs that carry meaning (+, =, ㎎, ½) stay."""
    return _NOT_LETTERS.sub("", unicodedata.normalize("NFC", text).casefold())


def grams(bare: str, size: int) -> frozenset[str]:
    """Character n-grams of what `letters` returns; a shorter text is one gram."""
    return frozenset(bare[i : i + size] for i in range(max(1, len(bare) - size + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over that of the union."""
    common = len(left & right)
    return common / (len(left) + len(right) - common)


def signatures(texts: Sequence[str], *, size: int) -> "NDArray[np.uint32]":
    """(len(texts), NUM_PERM) MinHash signatures of the character `size`-grams of texts that `letters` has made bare."""
    import numpy as np
    from rensa import RMinHash

    if not texts:
        return np.empty((0, NUM_PERM), dtype=np.uint32)
    padded = [text.ljust(size, "\0") for text in texts]  # a shorter text is one gram
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    hashes = np.zeros(len(codes) - size + 1, dtype=np.uint64)
    for place, weight in enumerate(_WEIGHTS[:size]):
        hashes += codes[place : place + len(hashes)] * np.uint64(weight)
    hashes ^= hashes >> np.uint64(29)
    lengths = np.array([len(text) for text in padded])
    whole = np.ones(len(hashes), dtype=bool)
    for back in range(1, size):  # grams that run from one text into the next
        whole[lengths.cumsum()[:-1] - back] = False
    offsets = np.append(0, (lengths - size + 1).cumsum())
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes[whole], offsets, NUM_PERM, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32)


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows in each) with the most rows, so the fewest candidates, that still find pairs at the threshold."""
    for rows in range(NUM_PERM, 1, -1):
        number = NUM_PERM // rows
        if 1 - (1 - threshold**rows) ** number >= _RECALL:
            return number, rows
    return NUM_PERM, 1


def alike(matrix: "NDArray[np.uint32]", blocks: "NDArray[np.uint64]", *, threshold: float) -> Iterator[tuple[int, int]]:
    """Row pairs (i < j) of one block whose estimated Jaccard similarity may reach the threshold, each once, in order."""
    import numpy as np

    number, rows = bands(threshold)
    found: list[NDArray[np.uint64]] = []
    for band in range(number):
        part = matrix[:, band * rows : (band + 1) * rows]
        keys = blocks.copy()
        for column in part.T:
            keys = keys * np.uint64(_WEIGHTS[0]) + column
        for left, right in _pairs_of_equals(keys):
            same = (matrix[left] == matrix[right]).mean(axis=1)
            near = same >= threshold - _SLACK
            found.append(left[near] << np.uint64(32) | right[near])
        if found:
            found = [np.unique(np.concatenate(found))]
    for pair in found[0].tolist() if found else ():
        yield pair >> 32, pair & 0xFFFF_FFFF


def _pairs_of_equals(keys: "NDArray[np.uint64]") -> Iterator[tuple["NDArray[np.uint64]", "NDArray[np.uint64]"]]:
    """All places i < j of equal keys, in chunks: within a run of equals, each with the next, then with the one after, and so on."""
    import numpy as np

    order = np.argsort(keys, kind="stable").astype(np.uint64)
    ordered = keys[order]
    breaks = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(keys)])
    last = np.repeat(breaks, np.diff(breaks, prepend=-1))
    places = np.arange(len(keys))
    step = 1
    while len(places := places[places + step <= last[places]]):
        for start in range(0, len(places), _CHUNK):
            here = places[start : start + _CHUNK]
            yield order[here], order[here + step]
        step += 1
