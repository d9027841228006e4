"""What a reader must see before anything else: everything that failed, cannot be told or looks odd, in plain sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, models_in_order
from medllm.report.format import need
from medllm.report.gates_part import Gate, delta, gate_name, gates_in_order
from medllm.report.verdicts import bare, goal_text, target_name, targets_in_order

_PACKAGE = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence, of `kind` fail, cannot_tell or note, with the test sentences that it is about as (id, text)."""

    text: str
    kind: str
    subject: str = ""
    quotes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All findings of one sort; `short` names the sort in a line of counts."""

    title: str
    short: str
    found: Sequence[Finding]

    @property
    def kind(self) -> str:
        """The colour of the count: that of its worst finding."""
        kinds = {one.kind for one in self.found}
        return next((kind for kind in ("fail", "cannot_tell") if kind in kinds), "note")

    @property
    def count(self) -> int:
        """Findings that are not mere notes; of those 119 sentences, the sentences."""
        return sum(len(one.quotes) if one.subject == "" else 1 for one in self.found if one.kind != "note")


def find_all(compare: Mapping[str, Any], sentences: Mapping[str, str]) -> list[Findings]:
    """Every sort, also the empty ones: that nothing was found is told too. `sentences` are the red-flag texts by id."""
    gates = gates_in_order(compare)
    failed = [gate for gate in gates if gate["verdict"] == "fail"]
    untold = [gate for gate in gates if gate["verdict"] == "cannot_tell"]
    return [
        Findings(title="미달한 목표", short="미달한 목표", found=_targets(compare)),
        Findings(title="놓친 119 신호", short="놓친 119 신호", found=_missed(compare, sentences)),
        Findings(title="실패한 게이트", short="실패한 게이트", found=[_failed(gate, sentences) for gate in failed]),
        Findings(title="champion과 더 작은 모델", short="champion의 문제", found=_champion(compare, gates)),
        Findings(title="문항이 모자라 판단할 수 없는 게이트", short="판단 불가", found=[_untold(gate) for gate in untold]),
        Findings(title="의심스러운 선별 검사", short="의심스러운 모델", found=_screens(compare, gates)),
    ]


def count_line(findings: Sequence[Findings]) -> str:
    """"미달한 목표 2 · 실패한 게이트 1 · ..."."""
    return " · ".join(f"{sort.short} {sort.count}" for sort in findings)


def _targets(compare: Mapping[str, Any]) -> list[Finding]:
    found, unmeasured = [], []
    for name, target in targets_in_order(compare):
        value, goal, unit, note = (need(target, key, f"{WHERE}: targets.{name}") for key in ("value", "goal", "unit", "note"))
        if target["verdict"] == "not_measured":
            unmeasured.append(target_name(name))
        if target["verdict"] != "fail":
            continue
        shown = fmt.target_value(value, unit, goal)
        if value >= goal if target["op"] == ">=" else value <= goal:
            text = f"값 {shown}은 목표({goal_text(target)})를 채우지만 미달입니다. {note}"
        else:
            text = f"{shown}입니다. 목표({goal_text(target)})에서 {fmt.target_gap(value, unit, goal)} 벗어났습니다."
        found.append(Finding(subject=target_name(name), text=text, kind="fail"))
    if unmeasured:
        found.append(Finding(text=f"재지 않은 목표: {', '.join(unmeasured)}. 까닭은 목표별 판정의 비고에 있습니다.", kind="note"))
    return found


def _missed(compare: Mapping[str, Any], sentences: Mapping[str, str]) -> list[Finding]:
    where = f"{WHERE}: emergencies.levels.119"
    level = need(need(compare, "emergencies", WHERE), "levels", f"{WHERE}: emergencies").get("119")
    if level is None:
        return [Finding(text="119 단계의 시험 문장이 없어 재지 않았습니다.", kind="note")]
    missed = need(level, "missed", where)
    text = f"119 단계의 문장 {fmt.plain(need(level, 'n', where))}개 가운데 {len(missed)}개를 규칙도 모델도 119로 보내지 않았습니다."
    return [Finding(text=text, kind="fail", quotes=_quotes(missed, sentences))] if missed else []


def _quotes(names: Sequence[str], sentences: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, sentences.get(name, "")) for name in names]


def _failed(gate: Gate, sentences: Mapping[str, str]) -> Finding:
    metric, where = bare(gate["metric"]), f"{WHERE}: gates of {gate['model']}"
    note, reference = need(gate, "note", where), need(gate, "reference", where)
    quotes: list[tuple[str, str]] = []
    if metric == "red_flags_lost":
        text, quotes = f"{reference} 모델이 잡는 응급 신호 {gate['lost']}개를 잃었습니다.", _quotes(note.split(", "), sentences)
    elif metric == "red_flag_sensitivity":
        below = f"기준보다 {_size(gate['estimate'], metric)} 낮습니다" if gate["estimate"] < 0 else "기준은 채웠습니다"
        text = f"규칙과 champion을 함께 본 감지율이 {below}. 119 단계에서 {gate['lost']}개를 놓쳤습니다. 규칙은 모든 모델이 함께 씁니다."
    elif metric in ("tokenizer", "end_token"):
        text = f"부모 모델 {reference}와 다릅니다({note})."
    else:
        text = f"{reference} 모델보다 {_size(gate['estimate'], metric)} 낮습니다({_bounds(gate)})."
    out = need(gate, "disqualifies", where)
    text += f" 실격된 모델: {', '.join(out)}." if out else " 이 게이트로 실격되는 모델은 없습니다."
    return Finding(subject=f"{gate['model']} · {gate_name(metric)}", text=text, kind="fail", quotes=quotes)


def _untold(gate: Gate) -> Finding:
    metric, where = gate["metric"], f"{WHERE}: gates of {gate['model']}"
    needed = need(gate, "items_needed", where)
    more = (
        "이 추정치로는 문항을 늘려도 판단할 수 없습니다." if needed is None
        else f"지금은 {fmt.plain(gate['n'])}문항이며, 같은 추정치라면 {fmt.plain(needed)}문항이 필요합니다."
    )  # fmt: skip
    stays = "추정치가 한계 안이라 후보로 남습니다." if need(gate, "admits", where) else "추정치가 한계를 넘어 champion 후보에서 빠집니다."
    text = f"추정 차이 {delta(gate['estimate'], metric)}({_bounds(gate)}). {more} {stays}"
    return Finding(subject=f"{gate['model']} · {gate_name(metric)}", text=text, kind="cannot_tell")


def _size(value: float, metric: str) -> str:
    return delta(abs(value), metric).lstrip("+")


def _bounds(gate: Gate) -> str:
    interval = fmt.span([delta(bound, gate["metric"]) for bound in gate["interval"]])
    return f"95 % 구간 {interval}, 허용 한계 {_size(gate['margin'], gate['metric'])}"


def _champion(compare: Mapping[str, Any], gates: Sequence[Gate]) -> list[Finding]:
    """Why the champion itself should be held back, and which smaller models were."""
    models = {model.name: model for model in models_in_order(compare)}
    best = models[compare["champion"]]
    found = []
    if reasons := _reasons(best.name, compare, gates):
        text = f"champion 자신이 규칙을 만족하지 못합니다: {', '.join(reasons)}. 규칙을 만족하는 모델이 없어 마지막 수단으로 골랐습니다."
        found.append(Finding(subject=best.name, text=text, kind="fail"))
    if any(gate["step"] == _PACKAGE and gate["verdict"] == "fail" for gate in gates):
        text = "규칙과 이 모델을 담은 패키지가 응급 신호의 기준을 넘지 못했습니다. 그대로 서비스에 쓰지 마십시오."
        found.append(Finding(subject=best.name, text=text, kind="fail"))
    size = best.metrics.get("bytes")
    for model in models.values():
        own = model.metrics.get("bytes")
        if model.deployable and size is not None and own is not None and own < size:
            reasons = _reasons(model.name, compare, gates) or ["응답 시간 목표를 넘김"]
            text = f"champion보다 작지만({fmt.megabytes(own)} MB) 고르지 않았습니다: {', '.join(reasons)}."
            found.append(Finding(subject=model.name, text=text, kind="note"))
    return found


def _reasons(name: str, compare: Mapping[str, Any], gates: Sequence[Gate]) -> list[str]:
    """What keeps a model from being champion, by its own gates and those of what it was made from."""
    own = [gate for gate in gates if gate["model"] == name and gate["step"] != _PACKAGE and not gate["admits"]]
    reasons = [f"{gate_name(gate['metric'])} {fmt.GATE_VERDICTS[gate['verdict']]}" for gate in own]
    if need(compare["models"][name], "disqualified", f"{WHERE}: models.{name}") and not any(gate["verdict"] == "fail" for gate in own):
        reasons.append("앞선 모델의 게이트 실패로 실격")
    return reasons


def _screens(compare: Mapping[str, Any], gates: Sequence[Gate]) -> list[Finding]:
    """Suspicious models by name; those of steps before recovery, which have no gate, in one note."""
    gated, screens = {gate["model"] for gate in gates}, need(compare, "screens", WHERE)
    found, before = [], []
    for model in models_in_order(compare):
        row = screens.get(model.name)
        if row is None or not need(row, "suspicious", f"{WHERE}: screens.{model.name}"):
            continue
        if model.name not in gated:
            before.append(model.name)
            continue
        kl, flips = row["kl_to_teacher_nats"], fmt.percent(row["flip_rate"])
        distance = "잴 수 없고(어휘가 다릅니다)" if kl is None else f"KL {kl:.3f} nats이고"
        told = f"맞고 틀림이 teacher와 뒤바뀐 문항은 {flips}입니다. 실격 여부는 게이트가 정합니다."
        text = f"다음 토큰의 분포는 teacher와의 거리가 {distance}, {told}"
        found.append(Finding(subject=model.name, text=text, kind="cannot_tell"))
    if before:
        told = "선별 기준을 넘지만, 뒤 단계에서 회복하는 모델이라 게이트에 올리지 않습니다."
        found.append(Finding(text=f"{', '.join(before)}: {told}", kind="note"))
    return found
