"""`*.source.yaml` or `*.source.json` in the raw folder: any source that `datasets` can load, local or a pinned revision of the hub."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medllm.data.aihub.item import RejectedError
from medllm.data.archives.names import nfc
from medllm.data.tables.item import TableRow
from medllm.data.tables.place import Split, slug, split_named
from medllm.errors import UserError

SOURCE_FILE = re.compile(r"\.source\.(ya?ml|json)$")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_KEYS: dict[str, type] = {
    "path": str, "revision": str, "name": str, "dataset": str, "splits": dict, "columns": dict, "licence": str, "redistributable": bool,
    "eval_only": bool,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`place` is what `datasets` loads, a folder or a hub id, and `path` how the file writes it.

    `splits`: part of the source -> part here. `columns`: column here -> column there.
    """

    file: str
    path: str
    place: str
    revision: str
    name: str
    dataset: str
    licence: str
    redistributable: bool
    eval_only: bool
    splits: Mapping[str, Split]
    columns: Mapping[str, str] = field(default_factory=dict)

    def rows(self) -> Iterator[TableRow]:
        """Rows of all parts, streamed. UserError: `datasets` cannot load it."""
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError

        for part, split in self.splits.items():
            try:
                rows = load_dataset(self.place, self.name or None, split=part, revision=self.revision or None, streaming=True)
                for number, row in enumerate(rows, 1):
                    yield TableRow(
                        row=self._renamed(row), dataset=self.dataset, place=f"{part}-{number}", split=split, licence=self.licence,
                        redistributable=self.redistributable, eval_only=self.eval_only,
                    )  # fmt: skip
            except (DatasetsError, OSError, ValueError, KeyError, ImportError) as error:
                what = f"part {part!r} of {self.path} cannot be loaded ({' '.join(str(error).split())})"
                raise UserError(f"{self.file}: {what}; check path, name and splits") from error

    def _renamed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        missing = [there for there in self.columns.values() if there not in row]
        if missing:
            raise UserError(f"{self.file}: columns: the source has no column {missing[0]!r}; it has {', '.join(sorted(row))}")
        taken = set(self.columns.values())
        return {key: value for key, value in row.items() if key not in taken} | {here: row[there] for here, there in self.columns.items()}


def read_sources(raw: Path) -> tuple[list[Source], list[str]]:
    """The source files below `raw` in order, and the files and local folders (relative, NFC) that are theirs. UserError: a wrong line."""
    sources, taken = [], []
    for path in sorted(path for path in raw.rglob("*.source.*") if SOURCE_FILE.search(path.name) and path.is_file()):
        file = nfc(path.relative_to(raw).as_posix())
        source = _source(path, file)
        sources.append(source)
        taken.append(file)
        if not source.revision and Path(source.place).is_relative_to(raw.resolve()):
            taken.append(nfc(Path(source.place).relative_to(raw.resolve()).as_posix()))
    return sources, taken


def _load(path: Path, file: str) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        text = path.read_text(encoding="utf-8-sig")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: not readable ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(values, dict) or "path" not in values or "splits" not in values:
        raise UserError(f"{file}: path and splits are needed; write path: <folder or hub id> and splits: {{train: train}}")
    for key, value in values.items():
        if not isinstance(value, _KEYS.get(key, ())):
            raise UserError(f"{file}: {key} = {value!r} is not allowed; the keys are {', '.join(_KEYS)} (a text revision goes in quotes)")
    return values


def _source(path: Path, file: str) -> Source:
    values = _load(path, file)
    where, revision = values["path"], values.get("revision", "")
    local, place = (path.parent / where).resolve(), where
    if local.is_dir():
        place, revision = str(local), ""
    elif not _HUB_ID.fullmatch(where):
        raise UserError(f"{file}: path = {where!r} is neither a folder beside this file nor a hub id (owner/name); correct it")
    elif not revision or revision in ("main", "master"):
        raise UserError(f"{file}: {where} is no folder here, and as a hub id it needs a pinned revision (a commit or a tag)")
    eval_only = values.get("eval_only", False)
    return Source(
        file=file, path=where, place=place, revision=revision, name=values.get("name", ""),
        dataset=slug(values.get("dataset", SOURCE_FILE.sub("", path.name))), licence=values.get("licence", ""),
        redistributable=values.get("redistributable", False), eval_only=eval_only, columns=values.get("columns", {}),
        splits={str(part): _split(file, part, split, eval_only) for part, split in values["splits"].items()},
    )  # fmt: skip


def _split(file: str, part: object, split: object, eval_only: bool) -> Split:
    try:
        chosen = split_named(split)
    except RejectedError as error:
        raise UserError(f"{file}: splits: {part} = {split!r} is not allowed; write train or validation") from error
    if eval_only and chosen == "train":
        raise UserError(f"{file}: splits: {part} is train, but an eval_only source may not be trained on; write validation")
    return chosen
