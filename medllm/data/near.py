"""Near-duplicates among many items: signatures in memory, texts on disk."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from medllm.data.dedup import Sketch, SketchKind, digest
from medllm.data.minhash import DOCUMENT_GRAM, NUM_PERM, STEM_GRAM, alike, grams, jaccard, signatures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GRAMS: dict[SketchKind, int] = {"stem": STEM_GRAM, "document": DOCUMENT_GRAM}
_CACHED_TEXTS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Signatures of some sketches of one kind, with the number of the item and the block of each."""

    kind: SketchKind
    items: Sequence[int]
    blocks: Sequence[int]
    matrix: "NDArray[np.uint32]"


def sign(sketches: Sequence[Sketch | None]) -> list[Signed]:
    """Signatures of sketches, whose places are their item numbers."""
    signed = []
    for kind, size in _GRAMS.items():
        own = [(place, made) for place, made in enumerate(sketches) if made is not None and made.kind == kind]
        blocks = [int.from_bytes(digest(made.block)[:8], "little") if made.block else 0 for _, made in own]
        matrix = signatures([made.text for _, made in own], size=size)
        signed.append(Signed(kind=kind, items=[place for place, _ in own], blocks=blocks, matrix=matrix))
    return signed


class Neighbours:
    """Signatures of all items, and the pairs that are near."""

    def __init__(self) -> None:
        self._items: dict[SketchKind, array[int]] = {kind: array("q") for kind in _GRAMS}
        self._blocks: dict[SketchKind, array[int]] = {kind: array("Q") for kind in _GRAMS}
        self._parts: dict[SketchKind, list[NDArray[np.uint32]]] = {kind: [] for kind in _GRAMS}

    def add(self, signed: Sequence[Signed], number_of: Sequence[int]) -> None:
        """Keep signatures under `number_of[item]`; negative numbers are left out."""
        for part in signed:
            rows = [row for row, item in enumerate(part.items) if number_of[item] >= 0]
            self._items[part.kind].extend(number_of[part.items[row]] for row in rows)
            self._blocks[part.kind].extend(part.blocks[row] for row in rows)
            self._parts[part.kind].append(part.matrix[rows])

    def renumber(self, place: Sequence[int]) -> None:
        """Item n becomes item `place[n]`."""
        self._items = {kind: array("q", (place[item] for item in items)) for kind, items in self._items.items()}

    def pairs(
        self, sketch_of: Callable[[int], Sketch | None], *, similarity: float, document_similarity: float,
        wanted: Callable[[int, int], bool],
    ) -> Iterator[tuple[int, int]]:  # fmt: skip
        """Pairs (low, high) of items whose texts are alike: found by signature, verified on the texts that `sketch_of` reads again."""
        import numpy as np

        thresholds: dict[SketchKind, float] = {"stem": similarity, "document": document_similarity}
        for kind, size in _GRAMS.items():
            items = self._items[kind]
            matrix = np.concatenate([np.empty((0, NUM_PERM), dtype=np.uint32), *self._parts[kind]])
            self._parts[kind] = [matrix]

            @lru_cache(maxsize=_CACHED_TEXTS)
            def grams_of(item: int, size: int = size) -> frozenset[str]:
                made = sketch_of(item)
                return grams(made.text, size) if made else frozenset()

            for left, right in alike(matrix, np.array(self._blocks[kind], dtype=np.uint64), threshold=thresholds[kind]):
                low, high = sorted((items[left], items[right]))
                if wanted(low, high) and jaccard(grams_of(low), grams_of(high)) >= thresholds[kind]:
                    yield low, high
