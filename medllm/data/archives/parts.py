"""Archives cut into .zip.part0, .zip.part1, ...: numbered one by one, or by the byte at which each part starts."""

import re
from collections.abc import Sequence
from typing import IO

from medllm.data.archives.member import Entry
from medllm.data.archives.streams import join_ranges
from medllm.errors import UserError

_PART = re.compile(r"(?P<stem>.+\.(?:zip|tar))\.part(?P<number>\d+)", re.IGNORECASE)


def join_parts(archive: str, entries: Sequence[Entry]) -> list[Entry]:
    """The entries with those that are parts joined, at the end. UserError: a part is missing, short or there twice."""
    whole: list[Entry] = []
    parts: dict[str, list[tuple[int, Entry]]] = {}
    for entry in entries:
        if not entry.skip and (match := _PART.fullmatch(entry.name)):
            parts.setdefault(match["stem"], []).append((int(match["number"]), entry))
        else:
            whole.append(entry)
    joined = [_join(archive, stem, sorted(numbered, key=lambda part: part[0])) for stem, numbered in sorted(parts.items())]
    return [*whole, *joined]


def _join(archive: str, stem: str, numbered: Sequence[tuple[int, Entry]]) -> Entry:
    where = f"{archive}: {stem}" if archive else stem
    starts = [0]
    for _, part in numbered:
        starts.append(starts[-1] + part.size)
    for place, (number, part) in enumerate(numbered):
        if place == 0 and number != 0:
            raise UserError(f"{where}.part0 is missing; download all parts again")
        by_count = [n for n, _ in numbered[: place + 1]] == list(range(place + 1))
        by_start = [n for n, _ in numbered[: place + 1]] == starts[: place + 1]
        if not by_count and not by_start:
            raise UserError(f"{where}: a part before {part.name.rpartition('.')[2]} is missing or cut off; download all parts again")

    def view() -> IO[bytes]:
        return join_ranges([(part.view(), 0, part.size) for _, part in numbered], owned=True)

    def check() -> None:
        for _, part in numbered:
            part.check()

    return Entry(name=stem, size=starts[-1], open=view, view=view, check=check)
