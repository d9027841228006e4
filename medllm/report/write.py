"""Write the report folder: index.html, report.md and the SVG pictures."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medllm.report import format as fmt
from medllm.report import machine_tables, quality_tables, sections, tables
from medllm.report.chain import WHERE, baselines, is_sample, model_named, models_in_order
from medllm.report.dag import dag_svg
from medllm.report.data_parts import data_parts
from medllm.report.data_pictures import mix_svg, mixes, positions_svg
from medllm.report.examples import OUTCOMES, pair_examples, read_predictions, red_flag_sentences
from medllm.report.findings import find_all
from medllm.report.format import need
from medllm.report.gates_part import gate_part
from medllm.report.graph_picture import graph_picture
from medllm.report.knowledge_part import knowledge_part
from medllm.report.markdown import report_markdown
from medllm.report.notices import USE_NOTICE, first_line, limits, task_note
from medllm.report.pareto import pareto_svg
from medllm.report.pictures import accuracy_svg, waterfall_svg
from medllm.report.proof_parts import department_part, detectable_part, emergency_part, screen_part
from medllm.report.recipes import Recipes, read_recipes
from medllm.report.recipes_part import recipe_parts
from medllm.report.recipes_picture import recipes_svg
from medllm.report.scale_part import scale_parts
from medllm.report.skill_parts import skill_parts
from medllm.report.svg import standalone
from medllm.report.verdicts import target_table

_TEMPLATES = Path(__file__).parent / "templates"


def _tiles(compare: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Head figures of the champion: (what, value, beside it)."""
    models = models_in_order(compare)
    champion = model_named(models, need(compare, "champion", WHERE), "champion")
    get = champion.metrics.get
    pairs = [
        ("크기", f"{fmt.megabytes(get('bytes'))} MB", "bytes", fmt.percent),
        ("생성 속도", f"{fmt.fixed(get('decode_tokens_per_s'), 0)} tok/s", "decode", fmt.times),
        ("최대 RSS", f"{fmt.megabytes(get('peak_rss_bytes'))} MB", "peak_rss", fmt.percent),
    ]
    tiles = [
        (what, value, f"A 대비 {show(champion.ratio(key, 'a'))} · B 대비 {show(champion.ratio(key, 'b'))}")
        for what, value, key, show in pairs
    ]
    a, _ = baselines(compare, models)
    accuracy, _, bounds = quality_tables.with_interval(champion, "answer").partition(" [")
    beside = f"95 % 구간 {bounds.rstrip(']') or fmt.MISSING} · A {fmt.percent(a.accuracy('answer'))}"
    return [*tiles, ("생성 답변 정확도", accuracy, beside)]


def _pictures(compare: Mapping[str, Any], prepared: Mapping[str, Any], graph: Path, recipes: Recipes | None) -> dict[str, str]:
    positions = prepared["answer_positions"]
    return {
        "dag": dag_svg(),
        "waterfall": waterfall_svg(compare),
        "accuracy": accuracy_svg(compare),
        "pareto": pareto_svg(compare),
        "mix": mix_svg(mixes(prepared)),
        **({"positions": positions_svg(positions)} if positions else {}),
        "graph": graph_picture(graph),
        **({"recipes": recipes_svg(recipes)} if recipes is not None else {}),
    }


def _page(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["unbroken"] = lambda text: re.sub(r"(\d) (?=%|MB|nats|ms)", "\\1\u00a0", text)  # a number and its unit in one line
    return environment.get_template("index.html.j2").render(context) + "\n"


def write_report(
    out: Path,
    *,
    compare: Mapping[str, Any],
    prepared: Mapping[str, Any],
    knowledge: Mapping[str, Any],
    sample: Mapping[str, Any] | None,
    graph: Path,
    step_metrics: Mapping[str, Mapping[str, Any]],
    predictions: Path,
    results: Path,
    stage_seconds: Mapping[str, float] | None,
    versions: Mapping[str, str],
    examples: int,
) -> None:
    """Write index.html, report.md and *.svg into `out`; nothing is written when an input is bad.

    `prepared`, `knowledge` and `sample` are the metrics of prepare_data, build_graph and make_sample (read for sample data alone), `graph`
    is the folder of the graph, `predictions` that of <model>.jsonl, `results` that of dated experiments (their newest files are shown, and
    nothing where there are none), `stage_seconds` the wall seconds by stage, `versions` those of the programs that ran, `examples` the most
    items shown side by side.
    Raises UserError for a missing key, a missing prediction file, two files of different items, or items that the data report lost.
    """
    models = models_in_order(compare)
    a, b = baselines(compare, models)
    champion = model_named(models, need(compare, "champion", WHERE), "champion")
    on_sample = is_sample(compare)
    answers = [read_predictions(predictions / f"{name}.jsonl") for name in (a.name, champion.name)]
    sentences = red_flag_sentences(answers[1])
    findings = find_all(compare, sentences)
    proof = [gate_part(compare), detectable_part(compare), screen_part(compare)]
    skills = [emergency_part(compare, sentences), department_part(compare), *skill_parts(compare)]
    data = [*data_parts(prepared, sample=on_sample), knowledge_part(knowledge, sample if on_sample else None)]
    recipes = read_recipes(results)
    experiments = [*(recipe_parts(recipes) if recipes is not None else []), *scale_parts(results)]
    context: dict[str, Any] = {
        "first_line": first_line(compare),
        "prefix": "sample_" if on_sample else "",
        "use_notice": USE_NOTICE,
        "limits": limits(compare),
        "task_note": task_note(compare),
        "champion": champion,
        "champion_rule": need(compare, "champion_rule", WHERE),
        "a": a,
        "b": b,
        "tiles": _tiles(compare),
        "findings": findings,
        "device": tables.devices(compare),
        "targets": target_table(compare),
        "sizes": machine_tables.size_table(compare),
        "speeds": machine_tables.speed_table(compare),
        "loads": machine_tables.load_table(compare),
        "gains": machine_tables.gain_table(compare),
        "memories": machine_tables.memory_table(compare),
        "qualities": quality_tables.quality_table(compare),
        "proof": proof,
        "skills": skills,
        "examples": pair_examples(*answers, examples=examples),
        "outcomes": list(OUTCOMES.values()),
        "task_name": tables.task_name,
        "data": data,
        "experiments": experiments,
        "steps": sections.step_tables(step_metrics),
        "bars": sections.stage_bars(stage_seconds) if stage_seconds is not None else [],
        "total_seconds": fmt.fixed(sum(stage_seconds.values())) if stage_seconds is not None else fmt.MISSING,
        "conditions": tables.condition_table(compare),
        "versions": tables.version_table(versions),
    }
    named = {"게이트와 시험의 힘": proof, "품질 자세히": skills, **({"실험": experiments} if experiments else {}), "데이터": data}
    pictures = _pictures(compare, prepared, graph, recipes)  # last: the slow part, and bad input is found before it
    context["pictures"] = pictures
    files = {"index.html": _page(context), "report.md": report_markdown(compare, findings, named)}
    files |= {f"{name}.svg": standalone(svg) for name, svg in pictures.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
