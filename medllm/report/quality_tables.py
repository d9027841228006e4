"""What the models answer: one wide table for the page, one line a model for Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import Model, models_in_order
from medllm.report.tables import Table, model_table, task_name
from medllm.report.verdicts import gate_word


def with_interval(m: Model, task: str) -> str:
    """Accuracy with its Wilson interval: "95.2 % [93.0–96.9]"."""
    low, high = m.accuracy(task, "_low"), m.accuracy(task, "_high")
    bounds = "" if low is None or high is None else f" [{fmt.interval([low, high], scale=100)}]"
    return fmt.percent(m.accuracy(task)) + bounds


def head(compare: Mapping[str, Any], task: str) -> str:
    """Name of a task with the number of its items."""
    counts = sorted({count for m in models_in_order(compare) if (count := m.accuracy(task, "_n")) is not None})
    return f"{task_name(task)} (n={', '.join(map(fmt.plain, counts)) or fmt.MISSING})"


def accuracy_table(compare: Mapping[str, Any], tasks: Sequence[str]) -> Table:
    """Some accuracies of every model with their intervals."""
    models = models_in_order(compare)
    heads = [head(compare, task) for task in tasks]
    return model_table(compare, heads, lambda m: [with_interval(m, task) for task in tasks], models=models)


def quality_table(compare: Mapping[str, Any]) -> Table:
    """The accuracies that count, with chance and majority beside the multiple choice, bits per byte and the gates."""

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            with_interval(m, "answer"),
            with_interval(m, "choice"),
            fmt.both(fmt.percent(get("choice_chance")), fmt.percent(get("choice_majority"))),
            with_interval(m, "paraphrase"),
            with_interval(m, "grounded"),
            fmt.fixed(get("bits_per_byte"), 3),
            gate_word(compare, m),
        ]

    heads = [
        head(compare, "answer"), head(compare, "choice"), "우연 / 최빈", head(compare, "paraphrase"), head(compare, "grounded"),
        "bits/byte", "게이트",
    ]  # fmt: skip
    return model_table(compare, heads, cells, models=models_in_order(compare))


def compact_table(compare: Mapping[str, Any]) -> Table:
    """One line a model, for Markdown."""

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            fmt.megabytes(get("bytes")),
            fmt.percent(m.ratio("bytes", "a"), 0),
            fmt.fixed(get("decode_tokens_per_s"), 0),
            fmt.times(m.ratio("decode", "a")),
            fmt.times(m.ratio("decode", "b")),
            fmt.megabytes(get("peak_rss_bytes")),
            with_interval(m, "answer"),
            fmt.percent(m.accuracy("paraphrase")),
            fmt.percent(m.accuracy("grounded")),
            fmt.percent(m.accuracy("choice")),
            gate_word(compare, m),
        ]

    heads = [
        "MB", "A 대비", "decode tok/s", "A 대비", "B 대비", "최대 RSS MB", "정확도 (생성 답변)",
        "자유 표현", "근거 제공", "객관식", "게이트",
    ]  # fmt: skip
    return model_table(compare, heads, cells, models=models_in_order(compare))
