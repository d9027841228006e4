from typing import Any

import pytest

from medllm.errors import UserError
from medllm.report import format as fmt
from medllm.report.chain import models_in_order, waterfall
from medllm.report.dag import EDGES, STAGES, dag_svg
from medllm.report.pareto import pareto_front, pareto_svg, place_labels
from medllm.report.pictures import accuracy_svg, waterfall_svg


def test_models_come_in_chain_order(compare: dict[str, Any]) -> None:
    names = [model.name for model in models_in_order(compare)]
    assert names == [
        *("base", "teacher", "pruned", "distilled", "student"),
        *("teacher_gguf_f16", "teacher_gguf_q8_0", "teacher_gguf_q4_0"),
        *("student_gguf_f16", "student_gguf_q8_0", "student_gguf_q4_0"),
        *("student_bnb_int8", "student_bnb_nf4"),
    ]


def test_a_circle_in_the_lineage_is_an_error(compare: dict[str, Any]) -> None:
    compare["models"]["base"]["lineage"]["parent"] = "student"
    with pytest.raises(UserError, match="circle"):
        models_in_order(compare)


@pytest.mark.parametrize(
    ("champion", "steps"),
    [
        ("teacher_gguf_f16", [("baseline", "teacher"), ("engine", "teacher_gguf_f16")]),
        ("teacher_gguf_q4_0", [("baseline", "teacher"), ("engine", "teacher_gguf_f16"), ("compression", "teacher_gguf_q4_0")]),
        (
            "student_gguf_q8_0",
            [
                ("baseline", "teacher"),
                ("engine", "teacher_gguf_f16"),
                ("compression", "student_gguf_f16"),
                ("compression", "student_gguf_q8_0"),
            ],
        ),
        ("student_gguf_f16", [("baseline", "teacher"), ("engine", "teacher_gguf_f16"), ("compression", "student_gguf_f16")]),
    ],
)
def test_waterfall_keeps_engine_and_compression_apart(compare: dict[str, Any], champion: str, steps: list[tuple[str, str]]) -> None:
    compare["champion"] = champion
    found = waterfall(compare, models_in_order(compare))
    assert [(step.kind, step.model.name) for step in found] == steps


def test_waterfall_names_the_steps_between_teacher_and_student(compare: dict[str, Any]) -> None:
    compare["champion"] = "student_gguf_q8_0"
    labels = [step.label for step in waterfall(compare, models_in_order(compare))]
    assert labels == ["baseline A", "engine", "prune\ndistill\nfinetune", "quantize"]


@pytest.mark.parametrize("picture", [waterfall_svg, accuracy_svg, pareto_svg])
def test_pictures_survive_models_without_metrics(compare: dict[str, Any], picture: Any) -> None:
    for row in compare["models"].values():
        row["metrics"], row["ratios"] = {}, {}
    assert picture(compare).startswith("<svg ")


@pytest.mark.parametrize("picture", [waterfall_svg, accuracy_svg, pareto_svg])
def test_chart_labels_are_ascii(compare: dict[str, Any], picture: Any) -> None:
    assert picture(compare).replace("\N{MINUS SIGN}", "-").isascii()


def test_pareto_front_drops_what_is_beaten() -> None:
    assert pareto_front([(3, 0.9), (1, 0.5), (2, 0.4), (3, 0.95), (4, 0.95)]) == [(1, 0.5), (3, 0.95)]


def test_labels_of_equal_points_stand_apart() -> None:
    places = place_labels([(f"model_{number}", 0.5, 0.5) for number in range(8)])
    assert len({(x, y) for x, y, _ in places}) == 8
    assert all(0 < y < 1 for _, y, _ in places)


def test_dag_draws_every_stage_once_and_only_known_edges() -> None:
    names = [stage.name for stage in STAGES]
    svg = dag_svg()
    assert len(names) == len(set(names))
    assert {name for edge in EDGES for name in edge} == set(names)
    assert all(svg.count(f">{name}</text>") == 1 for name in names)
    assert svg.count("marker-end") == len(EDGES)


def test_dag_boxes_do_not_overlap() -> None:
    cells = [(stage.row, stage.column + offset) for stage in STAGES for offset in range(stage.span)]
    assert len(cells) == len(set(cells))


@pytest.mark.parametrize(
    ("value", "unit", "goal", "text"),
    [
        (0.331, "ratio", 0.5, "33.1 %"),
        (11.04, "ratio", 6.0, "11.0x"),
        (1.42, "x", 1.0, "1.42x"),
        (0.9, "share", 0.9, "90.0 %"),
        (-0.019, "points", -0.02, "-1.9 %p"),
        (0.0213, "s", 3.0, "0.0213 s"),
        (0.0, "ratio", 0.5, "0.0 %"),
        (None, "ratio", 0.5, "-"),
    ],
)
def test_target_values_in_their_unit(value: float | None, unit: str, goal: float, text: str) -> None:
    assert fmt.target_value(value, unit, goal) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("", "-"), (0, "0"), (1234567, "1,234,567"), (0.12344, "0.1234"), (61200.5, "61,200.5"), (True, "예"), ([1, 2], "1, 2")],
)
def test_plain_values(value: Any, text: str) -> None:
    assert fmt.plain(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (2_904_000, "2.90"), (10_900_000, "10.9"), (1_234_000_000, "1,234")])
def test_megabytes(value: int | None, text: str) -> None:
    assert fmt.megabytes(value) == text
