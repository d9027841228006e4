"""Who descends from whom."""

from collections.abc import Iterable, Mapping

from medllm.compare.rows import Row
from medllm.errors import UserError


def ancestors(name: str, rows: Mapping[str, Row]) -> list[str]:
    """Parents of `name`, nearest first; the chain ends at a model without parent or outside of `rows`."""
    chain: list[str] = []
    parent = rows[name].lineage.parent
    while parent is not None and parent in rows:
        if parent == name or parent in chain:
            raise UserError(f"lineage of {name!r} goes round in a circle at {parent!r}; correct lineage.json of that model")
        chain.append(parent)
        parent = rows[parent].lineage.parent
    return chain


def descendants(name: str, rows: Mapping[str, Row]) -> list[str]:
    """Models that have `name` among their ancestors, in the order of `rows`."""
    return [other for other in rows if name in ancestors(other, rows)]


def with_descendants(names: Iterable[str], rows: Mapping[str, Row]) -> set[str]:
    """The models and everything made from them."""
    return {found for name in names for found in [name, *descendants(name, rows)]}
