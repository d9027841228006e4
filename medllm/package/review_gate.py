"""What a clinician has reviewed of a package: production refuses the rest, demo says so to everybody who talks to it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from medllm.data.knowledge import Knowledge, load_knowledge
from medllm.data.knowledge.content import REVIEWED_TABLES, content_sha256, read_reviews
from medllm.errors import UserError
from medllm.graph.store import GRAPH_FILE, Graph

Mode = Literal["demo", "production"]
DEMO_BANNER: Final = (
    "[시연용] 임상의가 검토하지 않은 자료로 만든 상담입니다. 내용이 틀릴 수 있으니 진료나 복약을 결정하는 데 쓰지 마시고, "
    "몸이 불편하시면 의료진과 상담해 주십시오."
)
_EMERGENCY_DEPARTMENT: Final = "응급의학과"
_NAMED = 3  # ids named in the message


def check_gates(gates: Sequence[Mapping[str, Any]], model: str, *, mode: Mode) -> dict[str, str]:
    """{metric: verdict} of the model's gates in compare.json, and of those of its ancestors that disqualify it ("teacher.accuracy").

    UserError in production: one of them is not passed, or there are none.
    """
    verdicts = {str(gate["metric"]): str(gate["verdict"]) for gate in gates if gate["model"] == model}
    verdicts |= {
        f"{gate['model']}.{gate['metric']}": str(gate["verdict"])
        for gate in gates
        if gate["model"] != model and model in gate.get("disqualifies", ())
    }
    open_gates = [f"{metric} ({verdict})" for metric, verdict in sorted(verdicts.items()) if verdict != "pass"]
    if mode == "production" and (open_gates or not verdicts):
        told = ", ".join(open_gates) or "it has none"
        raise UserError(f"package.mode=production: gates of {model} that are not passed: {told}; see the report, or package with mode=demo")
    return dict(sorted(verdicts.items()))


def check_review(knowledge_folder: Path, graph_folder: Path, *, mode: Mode) -> dict[str, dict[str, int]]:
    """{"drugs": {"rows": .., "reviewed": ..}, ..} for all red flags, the drugs and the emergency rows that the graph carries.

    An emergency row is a disease or symptom whose department is 응급의학과. UserError in production: one of them is not reviewed, or a
    clinician wants any row of the tables changed or out. UserError in both modes: the graph holds a drug that the tables do not know.
    """
    knowledge, graph = load_knowledge(knowledge_folder), Graph.load(graph_folder)
    drugs = [node.id for node in graph.nodes.values() if node.kind == "drug"]
    if unknown := sorted(set(drugs) - set(knowledge.drugs)):
        raise UserError(f"{graph_folder / GRAPH_FILE}: {unknown[0]} is not in drugs.csv; run dvc repro build_graph")
    groups: dict[str, list[Any]] = {
        "redflags": list(knowledge.redflags.values()),
        "drugs": [knowledge.drugs[key] for key in sorted(drugs)],
        "emergency": [row for row in _emergency_rows(knowledge) if row.id in graph.nodes],
    }
    if mode == "production":
        problems = [_problem(name, [row.id for row in rows if not row.reviewed], "not reviewed") for name, rows in groups.items()]
        problems.append(_problem("", _refused(knowledge_folder, knowledge), "marked change or reject by the reviewer"))
        if any(problems):
            raise UserError(
                f"package.mode=production: {'; '.join(filter(None, problems))}; have a clinician fill in what "
                "python -m pipeline.review export writes, correct the rows and import it, or package with mode=demo"
            )
    return {name: {"rows": len(rows), "reviewed": sum(row.reviewed for row in rows)} for name, rows in groups.items()}


def _emergency_rows(knowledge: Knowledge) -> Iterable[Any]:
    routed: tuple[Any, ...] = (*knowledge.diseases.values(), *knowledge.symptoms.values())
    return (row for row in routed if knowledge.departments[row.department].name == _EMERGENCY_DEPARTMENT)


def _refused(folder: Path, knowledge: Knowledge) -> list[str]:
    """Ids of rows of any table whose present content a clinician did not accept."""
    reviews = sorted((key, review) for key, review in read_reviews(folder).items() if review.verdict != "accept")
    tables: Mapping[str, Mapping[str, Any]] = {table: getattr(knowledge, table) for table in REVIEWED_TABLES}
    found = ((key, review, tables.get(table, {}).get(key)) for (table, key), review in reviews)
    return [key for key, review, row in found if row is not None and review.content_sha256 == content_sha256(row, knowledge)]


def _problem(name: str, ids: Sequence[str], what: str) -> str:
    """ "248 drugs rows not reviewed (drg_a, drg_b, drg_c, ...)", or "" for none."""
    named = ", ".join([*ids[:_NAMED], *["..."] * (len(ids) > _NAMED)])
    return f"{len(ids)} {name} rows {what} ({named})".replace("  ", " ") if ids else ""
