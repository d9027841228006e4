"""The knowledge behind the data: sizes, sources, review, agreement, coverage, scenarios. Out of build_graph.json and make_sample.json."""

from collections.abc import Mapping
from typing import Any

from medllm.report import format as fmt
from medllm.report.data_words import COLUMNS, NODES, OUTCOMES, RELATIONS, SOURCE_TYPES, TABLES
from medllm.report.format import need
from medllm.report.parts import Grid, Part, need_count, need_table
from medllm.report.tables import Row, Table

WHERE = "build_graph.json"
_SAMPLE_WHERE = "make_sample.json"
_STAGE = "build_graph"
_CAPTION = "지식 그래프입니다. 위는 진료과마다 이어진 질환과 증상, 아래는 여러 관계가 고루 이어진 질환 하나와 그 이웃입니다."


def knowledge_part(graph: Mapping[str, Any], sample: Mapping[str, Any] | None) -> Part:
    """Everything counted of data/knowledge and its graph; `sample` is None where the data are not the sample.

    Agreement is left out where there was no second pass, source types where they were not counted. UserError: another key is missing.
    """
    reviewed = need_table(graph, "reviewed", WHERE, stage=_STAGE)
    rows = [need_table(reviewed, name, f"{WHERE}: reviewed", stage=_STAGE) for name in reviewed]
    total, seen = (sum(need_count(row, key, f"{WHERE}: reviewed", stage=_STAGE) for row in rows) for key in ("rows", "reviewed"))
    grids = [_size_grid(reviewed, total, seen), _graph_grid(graph)]
    grids += [_named_counts(graph["sources_by_type"], SOURCE_TYPES, "출처의 종류", "행")] if graph.get("sources_by_type") else []
    agreement = need_table(graph, "agreement", WHERE, stage=_STAGE)
    grids += [_agreement_grid(agreement)] if agreement else []
    coverage, missing = _coverage(graph)
    grids += [missing] if missing else []
    if sample is not None:
        scenarios = need_table(sample, "scenarios", _SAMPLE_WHERE, stage="make_sample")
        grids.append(_named_counts(scenarios, OUTCOMES, "상담 시나리오의 결과", "시나리오"))
    return Part(
        title="지식",
        text=f"data/knowledge의 표 {fmt.plain(len(reviewed))}개, {fmt.plain(total)}행 가운데 "
        f"의료 전문가가 검토한 것은 {fmt.plain(seen)}행입니다. "
        "행마다 출처가 적혀 있으나, 그 내용이 검토되었다는 뜻은 아닙니다.",
        pictures=[("graph", _CAPTION)],
        grids=grids,
        note=coverage,
    )


def _size_grid(reviewed: Mapping[str, Any], total: int, seen: int) -> Grid:
    def cells(rows: int, checked: int) -> list[str]:
        return [fmt.plain(rows), f"{fmt.plain(checked)} / {fmt.plain(rows)}"]

    rows = [Row(label=TABLES.get(name, name), code=name, cells=cells(row["rows"], row["reviewed"])) for name, row in reviewed.items()]
    rows.append(Row(label="합계", cells=cells(total, seen), kind="total"))
    return Grid(table=Table(columns=["표", "행", "전문가 검토"], rows=rows), title="표의 크기와 검토")


def _graph_grid(graph: Mapping[str, Any]) -> Grid:
    """Facts and names, then nodes and edges by kind."""
    rows = [
        Row(label="사실 (문장)", cells=[fmt.plain(need_count(graph, "facts", WHERE, stage=_STAGE))]),
        Row(label="이름과 표기", cells=[fmt.plain(need_count(graph, "names", WHERE, stage=_STAGE))]),
    ]
    for head, words, what in (("nodes_", NODES, "노드"), ("edges_", RELATIONS, "관계")):
        for key in sorted(key for key in graph if key.startswith(head)):
            name = key.removeprefix(head)
            rows.append(Row(label=f"{what}: {words.get(name, name)}", cells=[fmt.plain(need_count(graph, key, WHERE, stage=_STAGE))]))
    return Grid(table=Table(columns=["그래프", "수"], rows=rows), title="지식 그래프")


def _named_counts(counts: Mapping[str, Any], names: Mapping[str, str], head: str, unit: str) -> Grid:
    """Known names in their order, then others; a sum where there are several."""
    order = [*(name for name in names if name in counts), *sorted(set(counts) - set(names))]
    rows = [Row(label=names.get(name, name), cells=[fmt.plain(counts[name])]) for name in order]
    if len(rows) > 1:
        rows.append(Row(label="합계", cells=[fmt.plain(sum(counts.values()))], kind="total"))
    return Grid(table=Table(columns=[head, unit], rows=rows), title=head)


def _agreement_grid(agreement: Mapping[str, Any]) -> Grid:
    rows = []
    for name in agreement:
        row, where = need_table(agreement, name, f"{WHERE}: agreement", stage=_STAGE), f"{WHERE}: agreement.{name}"
        n, exact, share, kappa, mended = (need(row, key, where) for key in ("n", "exact", "agreement", "kappa", "mended"))
        table, _, column = name.partition(".")
        label = f"{TABLES.get(table, table)}: {COLUMNS.get(column, column)}"
        cells = [fmt.plain(n), fmt.percent(exact), fmt.percent(share), fmt.fixed(kappa, 2), fmt.plain(mended)]
        rows.append(Row(label=label, code=name, cells=cells))
    columns = ["열", "행", "적은 대로 일치", "분류를 맞춘 뒤 일치", "카파", "그 뒤 고친 칸"]
    return Grid(table=Table(columns=columns, rows=rows), title="두 번째로 따로 적은 것과의 일치", stacked=True)


def _coverage(graph: Mapping[str, Any]) -> tuple[str, Grid | None]:
    """A sentence, and the nodes that no training text names, by kind."""
    where = f"{WHERE}: term_coverage"
    row = need_table(graph, "term_coverage", WHERE, stage=_STAGE)
    names, inside = (need_count(row, key, where, stage=_STAGE) for key in ("names", "in_training_text"))
    missing = need_table(row, "missing_by_kind", where, stage=_STAGE)
    text = (
        f"그래프의 용어 {fmt.plain(names)}개 가운데 {fmt.plain(inside)}개({fmt.percent(need(row, 'share', where))})는 그 이름이 학습 글에 "
        "그대로 나옵니다. 나머지는 검색으로만 쓰입니다."
    )
    return text, _named_counts(missing, NODES, "학습 글에 없는 용어", "용어") if missing else None
