"""Where every item went: read = kept + dropped, checked here again for every set, every archive and the whole."""

from collections.abc import Mapping
from typing import Any

from medllm.errors import UserError
from medllm.report import format as fmt
from medllm.report.data_words import CONFIDENCE, SETS, UNITS, reason_name
from medllm.report.parts import Grid, Part, need_count, need_table
from medllm.report.tables import Row, Table

WHERE = "prepare_data.json"
_STAGE = "prepare_data"
_COUNTS = ("read", "kept", "bad")
_HEADS = ["읽음", "남김", "제외", "그중 손상", "제외한 까닭"]
_TEXT = (
    "읽은 항목은 하나도 빠짐없이 남긴 것과 제외한 것으로 나뉩니다(읽음 = 남김 + 제외). 이 보고서를 쓸 때 세트와 보관 파일마다 등식을 다시 "
    "확인했습니다. 손상된 항목은 제외한 항목에 들어 있습니다."
)
_REAL = (
    " 공개 수량은 배포 기관이나 논문이 밝힌 수이고, 괄호 안은 읽은 문항이 그 가운데 차지하는 비율입니다. "
    "신뢰도는 그 수의 근거가 얼마나 분명한지입니다."
)
_SAMPLE = (
    " 표본은 AI Hub 세트의 형식만 빌려 이 프로젝트에서 쓴 자료입니다. 공개 수량은 형식의 본이 된 세트의 수이며, 표본은 그 일부가 아닙니다."
)


def accounting_part(prepared: Mapping[str, Any], *, sample: bool) -> Part:
    """Every set in a line, its archives folded. UserError: an item is missing in the sums, or a key in the report."""
    sets, archives = (need_table(prepared, key, WHERE, stage=_STAGE) for key in ("sets", "archives"))
    published = need_table(prepared, "published", WHERE, stage=_STAGE)
    for name, row in sets.items():
        _check(row, f"{WHERE}: sets.{name}")
        own = need_table(archives, name, f"{WHERE}: archives", stage=_STAGE)
        for archive, part in own.items():
            _check(part, f"{WHERE}: archives.{name}: {archive}")
        _check_sum(row, own.values(), f"{WHERE}: sets.{name}")
    whole = {key: need_count(prepared, f"items_{key}", WHERE, stage=_STAGE) for key in _COUNTS}
    reasons = need_table(prepared, "dropped", WHERE, stage=_STAGE)
    _check({**whole, "dropped": reasons}, f"{WHERE}: items_read")
    _check_sum({**whole, "dropped": reasons}, sets.values(), f"{WHERE}: items_read")
    rows = [
        Row(label=SETS.get(name, name), code=name, cells=[*_cells(row), *_published(published.get(name), sample=sample)])
        for name, row in sets.items()
    ]
    rows.append(Row(label="합계", cells=[*_cells({**whole, "dropped": reasons}), fmt.MISSING, fmt.MISSING], kind="total"))
    return Part(
        title="읽은 것, 남긴 것, 제외한 것",
        text=_TEXT + (_SAMPLE if sample else _REAL),
        grids=[Grid(table=Table(columns=["세트", *_HEADS, "공개 수량", "신뢰도"], rows=rows), text_columns=(5,), stacked=True)],
        note=_files(prepared),
        folded=[_archive_grid(name, own) for name, own in archives.items()],
    )


def _files(prepared: Mapping[str, Any]) -> str:
    """What was written, and the files that hold no items."""
    names = {"corpus": "학습 글", "train": "학습 문항", "test": "평가 항목", "calibration": "양자화 보정 항목(학습 문항 가운데)"}
    counts = [f"{name} {fmt.plain(need_count(prepared, f'{key}_records', WHERE, stage=_STAGE))}개" for key, name in names.items()]
    others = need_table(prepared, "other_files", WHERE, stage=_STAGE)
    rest = ", ".join(f"{suffix or '(확장자 없음)'} {fmt.plain(count)}개" for suffix, count in others.items())
    return f"남긴 것으로 쓴 파일: {', '.join(counts)}." + (f" 항목이 들어 있지 않아 세기만 한 파일: {rest}." if rest else "")


def _check(row: Mapping[str, Any], where: str) -> None:
    read, kept, bad = (need_count(row, key, where, stage=_STAGE) for key in _COUNTS)
    dropped = need_table(row, "dropped", where, stage=_STAGE)
    gone = sum(need_count(dropped, reason, where, stage=_STAGE) for reason in dropped)
    if read != kept + gone or bad > gone:
        raise UserError(f"{where}: {read} read, but {kept} kept and {gone} dropped ({bad} of them bad); run prepare_data again")


def _check_sum(row: Mapping[str, Any], parts: Any, where: str) -> None:
    """The parts of a row add up to it, by count and by reason."""
    parts = list(parts)
    for key in _COUNTS:
        if (total := sum(part[key] for part in parts)) != row[key]:
            raise UserError(f"{where}: {key} is {row[key]}, but its parts add up to {total}; run prepare_data again")
    for reason in sorted({*row["dropped"], *(name for part in parts for name in part["dropped"])}):
        total, count = sum(part["dropped"].get(reason, 0) for part in parts), row["dropped"].get(reason, 0)
        if total != count:
            raise UserError(f"{where}: {count} dropped as {reason}, but its parts add up to {total}; run prepare_data again")


def _cells(row: Mapping[str, Any]) -> list[str]:
    dropped = row["dropped"]
    reasons = sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0]))
    why = ", ".join(f"{reason_name(reason)} {fmt.plain(count)}" for reason, count in reasons if count)
    return [fmt.plain(row["read"]), fmt.plain(row["kept"]), fmt.plain(sum(dropped.values())), fmt.plain(row["bad"]), why or fmt.MISSING]


def _published(row: Mapping[str, Any] | None, *, sample: bool) -> list[str]:
    """Count that the publisher gives, and how sure it is."""
    if row is None:
        return [fmt.MISSING, fmt.MISSING]
    where = f"{WHERE}: published"
    count = need_count(row, "published", where, stage=_STAGE)
    unit, confidence = (str(fmt.need(row, key, where)) for key in ("unit", "confidence"))
    share = "" if sample else f" ({fmt.percent(fmt.need(row, 'share', where))})"
    return [f"{fmt.plain(count)} {UNITS.get(unit, unit)}{share}", CONFIDENCE.get(confidence, confidence)]


def _archive_grid(name: str, archives: Mapping[str, Mapping[str, Any]]) -> Grid:
    rows = [Row(label=_short(archive) or "파일", cells=_cells(row)) for archive, row in archives.items()]
    table = Table(columns=["보관 파일 · 폴더", *_HEADS], rows=rows)
    return Grid(table=table, title=f"{SETS.get(name, name)} ({name}): 보관 파일과 폴더 {len(rows):,}개", text_columns=(5,), stacked=True)


def _short(archive: str) -> str:
    """The last two names of a path: the outer folders are the same for a whole set."""
    return " / ".join(archive.replace("!", "/").split("/")[-2:])
