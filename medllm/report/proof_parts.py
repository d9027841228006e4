"""What stands behind the verdicts: emergencies, departments, the smallest effect that these items show, and the screens."""

from collections.abc import Mapping
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, Model, baselines, models_in_order
from medllm.report.format import need
from medllm.report.gates_part import gate_name
from medllm.report.parts import Grid, Part
from medllm.report.quality_tables import accuracy_table
from medllm.report.tables import Row, Table, model_table
from medllm.statistics.intervals import wilson_interval

LEVELS = {"119": "119 신고", "crisis": "자살·정신건강 위기 (109)", "er": "응급실"}
FEW, HANDFUL = 30, 10  # items of a department: fewer than FEW carry no verdict of their own, fewer than HANDFUL are folded


def emergency_part(compare: Mapping[str, Any], sentences: Mapping[str, str]) -> Part:
    """Red flags by level: by rules alone, with the champion, missed; false alarms; the model alone. `sentences` are texts by id."""
    entry, where = need(compare, "emergencies", WHERE), f"{WHERE}: emergencies"
    title = "응급 신호"
    if not need(entry, "n", where):
        return Part(title=title, text="응급 시험 문장이 없어 재지 않았습니다.")
    levels = {name: need(entry, "levels", where)[name] for name in LEVELS if name in entry["levels"]}
    rows, missed = [], []
    for name, row in levels.items():
        n, got, by_rules, ids = (need(row, key, f"{where}.levels.{name}") for key in ("n", "got", "by_rules", "missed"))
        rows.append(Row(label=LEVELS[name], cells=_caught(n, got, by_rules), kinds=["", "", "", "", "fail" if n > got else "pass"]))
        missed += [Row(label=one, cells=[LEVELS[name], sentences.get(one, fmt.MISSING)]) for one in ids]
    total = [sum(row[key] for row in levels.values()) for key in ("n", "got", "by_rules")]
    rows.append(Row(label="합계", cells=_caught(*total), kind="total"))
    alarms, safe, lost, won = (need(entry, key, where) for key in ("false_alarms", "safe", "lost_to_teacher", "won_to_teacher"))
    text = (
        "서비스에서는 규칙이 모델보다 먼저 메시지를 보고, 규칙이 놓친 것만 모델의 답에 기댑니다. 규칙만으로 잡는 것은 모델이 멈추어도 "
        f"잡습니다. 응급이 아닌 문장 {fmt.plain(safe)}개 가운데 {fmt.plain(alarms)}개에서 규칙이 잘못 울렸습니다. "
        f"teacher를 담은 패키지와 견주면 응급 신호 {len(lost)}개를 잃고 {len(won)}개를 더 잡았습니다. "
        "문장은 이 프로젝트에서 썼으며 임상의가 확인하지 않았습니다."
    )
    heads = ["단계", "문장", "규칙만", "규칙 + champion", "감지율 [95 %]", "놓침"]
    table = Table(columns=["id", "단계", "문장"], rows=missed)
    folded = [Grid(table=table, title=f"놓친 문장 {len(missed)}개", text_columns=(1, 2), stacked=True)]
    folded.append(Grid(table=accuracy_table(compare, ["red_flag"]), title="규칙 없이 모델만으로 알맞은 번호를 말한 비율"))
    return Part(
        title=title, text=text, grids=[Grid(table=Table(columns=heads, rows=rows), stacked=True)], folded=folded if missed else folded[1:]
    )


def _caught(n: int, got: int, by_rules: int) -> list[str]:
    return [fmt.plain(n), fmt.plain(by_rules), fmt.plain(got), fmt.share_of(got, n, wilson_interval(got, n)), f"{fmt.plain(n - got)}개"]


def department_part(compare: Mapping[str, Any]) -> Part:
    """Short answers by department, teacher against champion, the largest losses first; departments of a handful of items are folded."""
    a, _ = baselines(compare, models_in_order(compare))
    champion, found = compare["champion"], []
    for name, row in need(compare, "departments", WHERE).items():
        n, ours, theirs = (need(row, key, f"{WHERE}: departments.{name}") for key in ("n", champion, a.name))
        cells = [fmt.plain(n), *(fmt.share_of(right, n, wilson_interval(right, n)) for right in (theirs, ours))]
        cells += [f"{100 * (ours - theirs) / n:+.1f} %p", "문항 적음" if n < FEW else fmt.MISSING]
        found.append(((ours - theirs) / n, n, Row(label=name, cells=cells, kinds=["", "", "", "", "warn" if n < FEW else ""])))
    found.sort(key=lambda one: (one[0], one[2].label))
    title = "진료과별 결과"
    if not found:
        return Part(title=title, text="진료과가 적힌 문항이 없습니다.")
    columns = ["진료과", "n", "teacher", "champion", "차이", "주의"]
    shown, handful = ([row for _, n, row in found if (n < HANDFUL) == few] for few in (False, True))
    tables = [Table(columns=columns, rows=rows) for rows in (shown, handful)]
    folded = Grid(table=tables[1], title=f"{HANDFUL}문항이 안 되는 진료과 {len(handful)}개", stacked=True)
    return Part(
        title=title,
        text="생성 답변, 자유 표현, 근거 제공 문항을 합쳐 진료과별로 나눈 것입니다. champion이 teacher보다 많이 잃은 진료과부터 "
        f"적었습니다. 대괄호는 Wilson 95 % 구간(%)이며, {FEW}문항이 안 되는 진료과는 구간이 넓어 그것만으로는 말할 수 없습니다.",
        grids=[Grid(table=tables[0], stacked=True)] if shown else [],
        folded=[folded] if handful else [],
    )


def detectable_part(compare: Mapping[str, Any]) -> Part:
    """With these items, which difference could be shown at all?"""
    rows = []
    for metric, row in sorted(need(compare, "detectable", WHERE).items()):
        n, margin, discordant, effect, power, smallest = (
            need(row, key, f"{WHERE}: detectable.{metric}")
            for key in ("n", "margin", "discordant_share", "design_effect", "power", "minimum_detectable_effect")
        )
        enough = smallest <= margin
        cells = [fmt.plain(n), fmt.percent(discordant), fmt.fixed(effect, 2), fmt.percent(power, 0), f"{100 * margin:.1f} %p"]
        cells += [f"{100 * smallest:.1f} %p", "충분" if enough else "문항 부족"]
        rows.append(Row(label=gate_name(metric), code=metric, cells=cells, kinds=[*[""] * 6, "pass" if enough else "cannot_tell"]))
    heads = ["측정", "n", "엇갈린 문항", "묶음 효과", "검정력", "허용 한계", "가장 작은 차이", "한계를 볼 수 있는가"]
    return Part(
        title="이 문항 수로 알 수 있는 가장 작은 차이",
        text="성능이 같은 두 모델을 같다고 판정하려면 허용 한계가 이 값보다 커야 합니다. champion과 teacher가 실제로 엇갈린 비율로 "
        "계산했습니다. 허용 한계보다 크면, 통과하지 못한 것이 모델의 탓인지 문항 수의 탓인지 이 시험만으로는 가릴 수 없습니다.",
        grids=[Grid(table=Table(columns=heads, rows=rows), stacked=True)] if rows else [],
        note="" if rows else "견줄 수 있는 문항 묶음이 없어 계산하지 않았습니다.",
    )


def screen_part(compare: Mapping[str, Any]) -> Part:
    """How far the distributions and the answers of the models made from the teacher moved from its own."""
    screens = need(compare, "screens", WHERE)

    def cells(model: Model) -> list[str]:
        own = screens[model.name]
        kl, agreement, flips, positions, odd = (
            need(own, key, f"{WHERE}: screens.{model.name}")
            for key in ("kl_to_teacher_nats", "top1_agreement", "flip_rate", "positions", "suspicious")
        )
        return [fmt.fixed(kl, 4), fmt.percent(agreement), fmt.percent(flips), fmt.plain(positions), "의심" if odd else "정상"]

    models = [model for model in models_in_order(compare) if model.name in screens]
    kinds = [[*[""] * 4, "cannot_tell" if screens[model.name].get("suspicious") else "pass"] for model in models]
    heads = ["KL (nats)", "첫째 토큰 일치", "뒤바뀐 문항", "비교한 위치", "판정"]
    return Part(
        title="선별 검사: teacher에서 얼마나 멀어졌는가",
        text="정확도가 같아도 속이 달라졌을 수 있습니다. KL은 다음 토큰의 확률 분포가 teacher와 다른 정도, 뒤바뀐 문항은 맞고 틀림이 "
        "teacher와 다른 생성 답변의 비율입니다. 의심은 알림일 뿐이며, 실격은 게이트만 정합니다.",
        grids=[Grid(table=model_table(compare, heads, cells, models=models, kinds=kinds))],
    )
