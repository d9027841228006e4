"""The pipeline as a hand-made SVG from a list of stages and edges on a grid."""

from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _GAP, _LANE, _MARGIN = 170, 52, 24, 44, 14
_COLOURS = {"data": "#0072b2", "train": "#009e73", "compress": "#d55e00", "models": "#6b7280", "proof": "#a855a0", "ship": "#6b7280"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A box at (column, row), `span` columns wide; `group` picks the colour."""

    name: str
    caption: str
    group: str
    column: int
    row: int
    span: int = 1

    @property
    def left(self) -> int:
        """Left edge in pixels."""
        return _MARGIN + self.column * (_WIDTH + _GAP)

    @property
    def top(self) -> int:
        """Upper edge in pixels."""
        return _MARGIN + self.row * (_HEIGHT + _LANE)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.span * _WIDTH + (self.span - 1) * _GAP

    @property
    def middle(self) -> int:
        """Horizontal centre in pixels."""
        return self.left + self.width // 2


STAGES = (
    Stage("config", "params.yaml is fresh", "data", 0, 0),
    Stage("make_sample", "seeded archives", "data", 1, 0),
    Stage("prepare_data", "clean, dedup, split", "data", 2, 0),
    Stage("build_graph", "terms, facts, red flags", "data", 6, 0),
    Stage("fetch_base", "hub, folder or tiny", "train", 0, 1),
    Stage("finetune.teacher", "LoRA, merged", "train", 1, 1),
    Stage("prune", "structured, -25 %", "compress", 2, 1),
    Stage("distill", "teacher logits + CE", "compress", 3, 1),
    Stage("finetune.student", "LoRA, merged", "train", 4, 1),
    Stage("quantize teacher_*", "GGUF: f16 q8_0 q4_0", "compress", 1, 2),
    Stage("quantize student_*", "GGUF, mixed, int8, nf4", "compress", 4, 2),
    Stage("artifacts/models/*", "every model above, one folder each", "models", 0, 3, 5),
    Stage("evaluate", "each model, one protocol", "proof", 0, 4),
    Stage("benchmark", "paired round-robin", "proof", 1, 4),
    Stage("compare", "gates, champion", "proof", 2, 4),
    Stage("report", "this page", "ship", 3, 4),
    Stage("package", "what a service loads", "ship", 4, 4),
    Stage("track", "MLflow", "ship", 5, 4),
)
EDGES = (
    ("config", "make_sample"),
    ("make_sample", "prepare_data"),
    ("prepare_data", "build_graph"),
    ("prepare_data", "fetch_base"),
    ("prepare_data", "finetune.teacher"),
    ("prepare_data", "prune"),
    ("prepare_data", "distill"),
    ("prepare_data", "finetune.student"),
    ("fetch_base", "finetune.teacher"),
    ("finetune.teacher", "prune"),
    ("prune", "distill"),
    ("distill", "finetune.student"),
    ("finetune.teacher", "quantize teacher_*"),
    ("finetune.student", "quantize student_*"),
    ("fetch_base", "artifacts/models/*"),
    ("prune", "artifacts/models/*"),
    ("distill", "artifacts/models/*"),
    ("quantize teacher_*", "artifacts/models/*"),
    ("quantize student_*", "artifacts/models/*"),
    ("artifacts/models/*", "evaluate"),
    ("artifacts/models/*", "benchmark"),
    ("evaluate", "compare"),
    ("benchmark", "compare"),
    ("compare", "report"),
    ("report", "package"),
    ("package", "track"),
    ("build_graph", "package"),
)


def _path(source: Stage, target: Stage) -> str:
    """Right along a row, under a skipped neighbour, or down through the lane above the target."""
    mid = source.top + _HEIGHT // 2
    if source.row == target.row and (target.column == source.column + source.span or source.row == 0):
        return f"M{source.left + source.width} {mid}H{target.left}"
    if source.row == target.row:
        low = source.top + _HEIGHT + 16
        return f"M{source.middle} {source.top + _HEIGHT}V{low}H{target.middle}V{source.top + _HEIGHT}"
    start = target.middle if source.span > 1 else source.middle
    end = start if target.span > 1 else target.middle
    lane = target.top - _LANE // 2
    bend = "" if start == end else f"V{lane}H{end}"
    return f"M{start} {source.top + _HEIGHT}{bend}V{target.top}"


def _box(stage: Stage) -> str:
    colour = _COLOURS[stage.group]
    dashed = ' stroke-dasharray="5 4"' if stage.group == "models" else ""
    return (
        f'<rect x="{stage.left}" y="{stage.top}" width="{stage.width}" height="{_HEIGHT}" rx="8" fill="{colour}" fill-opacity=".13"'
        f' stroke="{colour}" stroke-width="1.5"{dashed}/>'
        f'<text x="{stage.middle}" y="{stage.top + 22}" font-size="13.5" font-weight="600">{escape(stage.name)}</text>'
        f'<text x="{stage.middle}" y="{stage.top + 40}" font-size="11.5" opacity=".75">{escape(stage.caption)}</text>'
    )


def dag_svg(stages: tuple[Stage, ...] = STAGES, edges: tuple[tuple[str, str], ...] = EDGES) -> str:
    """Inline SVG (no xmlns, ink is currentColor), the same bytes for the same lists."""
    by_name = {stage.name: stage for stage in stages}
    width = max(s.left + s.width for s in stages) + _MARGIN
    height = max(s.top for s in stages) + _HEIGHT + _MARGIN + 12
    arrows = "".join(f'<path d="{_path(by_name[a], by_name[b])}" marker-end="url(#dag-arrow)"/>' for a, b in edges)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Pipeline DAG"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="currentColor" text-anchor="middle">'
        '<defs><marker id="dag-arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8Z" fill="currentColor" opacity=".7"/></marker></defs>'
        f'<g fill="none" stroke="currentColor" stroke-opacity=".5" stroke-width="1.3">{arrows}</g>{"".join(_box(s) for s in stages)}</svg>'
    )
