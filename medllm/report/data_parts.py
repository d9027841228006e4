"""The data section of the report, out of the data report of prepare_data (medllm/data/describe.py): counts, never a text."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from medllm.report import format as fmt
from medllm.report.accounting import WHERE, accounting_part
from medllm.report.data_words import GATES, PII_KINDS, ROLES, SETS, reason_name, set_kind_name
from medllm.report.format import need
from medllm.report.notices import PARAPHRASE_PRECISION, PARAPHRASE_RECALL, PII_DUTY
from medllm.report.parts import Grid, Part, need_count, need_table
from medllm.report.tables import Row, Table

_STAGE = "prepare_data"
_AIHUB = "aihub_"
_MADE_UP = " 표본의 글은 모두 지어낸 것이므로, 여기서 가린 것은 실제 사람의 정보가 아닙니다."
_BY_DESIGN = "_by_design"
_LEAKS = (
    "held_out_fact", "copy_of_test_item", "near_duplicate_of_test_question", "near_duplicate_of_test_text", "cluster_of_test_item",
    "passage_of_test_item",
)  # fmt: skip


def data_parts(prepared: Mapping[str, Any], *, sample: bool) -> list[Part]:
    """Accounting, mix, lengths, duplicates, personal data, leaks and answer positions. UserError: a key is missing, or items are."""
    makers = (_mix_part, _length_part, _duplicate_part)
    return [
        accounting_part(prepared, sample=sample),
        *(make(prepared) for make in makers),
        _pii_part(prepared, sample=sample),
        _leak_part(prepared),
        *_position_parts(prepared),
    ]


def _table(prepared: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return need_table(prepared, key, WHERE, stage=_STAGE)


def _count(row: Mapping[str, Any], key: str, where: str = WHERE) -> int:
    return need_count(row, key, where, stage=_STAGE)


def _mix_part(prepared: Mapping[str, Any]) -> Part:
    mix, records = _table(prepared, "mix"), need_table(_table(prepared, "counts"), "role", f"{WHERE}: counts", stage=_STAGE)
    rows, goals = [], []
    for role in mix:
        row = need_table(mix, role, f"{WHERE}: mix", stage=_STAGE)
        share, goal = (need(row, key, f"{WHERE}: mix.{role}") for key in ("share", "brief"))
        cells = [fmt.plain(records.get(role, 0)), fmt.plain(_count(row, "characters", f"{WHERE}: mix.{role}"))]
        cells += [fmt.percent(share), fmt.percent(goal, 0), f"{100 * (share - goal):+.1f} %p"]
        goals.append(f"{ROLES.get(role, role)} {fmt.percent(goal, 0)}")
        rows.append(Row(label=ROLES.get(role, role), code=role, cells=cells))
    return Part(
        title="역할별 비율",
        text=f"과제가 정한 비율은 {', '.join(goals)}입니다. 목표와의 차이는 학습할 수 있는 글자 수의 비율로 셉니다.",
        pictures=[("mix", "역할별 비율입니다. 맨 위가 과제의 20/30/50, 그 아래가 남긴 레코드 수와 학습 글자 수의 비율입니다.")],
        grids=[Grid(table=Table(columns=["역할", "레코드", "학습 글자", "비율", "목표", "차이"], rows=rows), stacked=True)],
    )


def _length_part(prepared: Mapping[str, Any]) -> Part:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for key, count in _table(prepared, "by_set_kind_split").items():
        name, _, part = key.rpartition("/")
        counts[name][part] = count
    rows = []
    for name in (lengths := _table(prepared, "lengths")):
        percentiles = need_table(lengths, name, f"{WHERE}: lengths", stage=_STAGE)
        cells = [counts[name].get("train", 0), counts[name].get("validation", 0)]
        cells += [_count(percentiles, key, f"{WHERE}: lengths.{name}") for key in ("p5", "p50", "p95")]
        rows.append(Row(label=set_kind_name(name), code=name, cells=[fmt.plain(cell) for cell in cells]))
    hashed = ", ".join(SETS.get(name, name) for name in need(prepared, "split_by_hash", WHERE))
    split = f"공식 평가 분할이 없는 세트({hashed})는 비슷한 항목의 묶음 단위로, 해시에 따라 나누었습니다." if hashed else ""
    return Part(
        title="길이",
        text="세트와 종류마다 남긴 항목의 수와, 한 항목에 든 글자 수의 5·50·95 백분위수입니다.",
        grids=[Grid(table=Table(columns=["세트 · 종류", "학습", "평가", "p5", "p50", "p95"], rows=rows), stacked=True)],
        note=split,
    )


def _duplicate_part(prepared: Mapping[str, Any]) -> Part:
    clusters, dropped = _table(prepared, "clusters"), _table(prepared, "dropped")
    where = f"{WHERE}: clusters"
    rows = [
        ("중복 (글이 같음)", _count(prepared, "duplicates")),
        ("거의 같은 글", _count(prepared, "near_duplicates")),
        *((reason_name(key), dropped[key]) for key in ("same_file_twice", "passage_twice") if key in dropped),
        ("비슷한 항목의 묶음", _count(clusters, "clusters", where)),
        ("묶음에 든 항목", _count(clusters, "items_in_clusters", where)),
        ("가장 큰 묶음의 항목", _count(clusters, "largest", where)),
        ("질문이 같은 객관식 묶음", _count(clusters, "stem_clusters_of_choice", where)),
    ]
    table = Table(columns=["무엇", "수"], rows=[Row(label=name, cells=[fmt.plain(count)]) for name, count in rows])
    return Part(
        title="중복과 묶음",
        text="같거나 거의 같은 글은 하나만 남기고, 나머지는 제외한 것으로 셉니다. "
        "비슷하지만 답이 다른 항목은 묶음으로 두고, 한 묶음이 학습과 평가로 나뉘지 않게 합니다.",
        grids=[Grid(table=table)],
    )


def _pii_part(prepared: Mapping[str, Any], *, sample: bool) -> Part:
    """Hits by set and kind; the duty to report where real AI Hub sets have any."""
    found = _table(prepared, "pii_by_set")
    rows = []
    for name in found:
        kinds = need_table(found, name, f"{WHERE}: pii_by_set", stage=_STAGE)
        listed = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))
        text = ", ".join(f"{PII_KINDS.get(kind, kind)} {fmt.plain(count)}" for kind, count in listed)
        rows.append(Row(label=SETS.get(name, name), code=name, cells=[fmt.plain(sum(kinds.values())), text]))
    owing = [name for name in found if name.startswith(_AIHUB)] if not sample else []
    text = f"개인정보로 보이는 곳 {fmt.plain(_count(prepared, 'pii_hits'))}군데를 찾아 [전화번호] 같은 표지로 바꾸었습니다."
    return Part(
        title="개인정보",
        text=text + (_MADE_UP if sample and rows else ""),
        duty=f"{', '.join(SETS.get(name, name) for name in owing)}: {PII_DUTY}" if owing else "",
        grids=[Grid(table=Table(columns=["세트", "건수", "종류별"], rows=rows), text_columns=(2,))] if rows else [],
    )


def _leak_part(prepared: Mapping[str, Any]) -> Part:
    leakage, held, dropped = (_table(prepared, key) for key in ("leakage", "held_out", "dropped"))
    gates = sorted(leakage, key=lambda name: (name.endswith(_BY_DESIGN), name))
    rows = [_gate_row(name, need_table(leakage, name, f"{WHERE}: leakage", stage=_STAGE)) for name in gates]
    rows.append(_paraphrase_row(_table(prepared, "paraphrases")))
    facts = {key: fmt.plain(_count(held, key, f"{WHERE}: held_out")) for key in held}
    counts = [
        ("학습한 사실", "facts_trained"),
        ("그 가운데 다른 말로도 묻는 사실", "facts_with_held_out_form"),
        ("다른 말로 묻는 평가 항목", "items_held_out_form"),
        ("어느 학습 글에도 없는 사실 (보류)", "facts_held_out"),
        ("보류한 사실을 묻는 평가 항목", "items_held_out_fact"),
    ]
    held_rows = [Row(label=label, cells=[need(facts, key, f"{WHERE}: held_out")]) for label, key in counts]
    removed = [Row(label=reason_name(key), cells=[fmt.plain(dropped[key])]) for key in _LEAKS if key in dropped]
    grids = [
        Grid(table=Table(columns=["확인한 것", "확인한 수", "찾은 수", "판정"], rows=rows), verdict_column=3, stacked=True),
        Grid(table=Table(columns=["보류", "수"], rows=held_rows), title="보류한 사실과 보류한 말"),
    ]
    if removed:
        grids.append(Grid(table=Table(columns=["까닭", "수"], rows=removed), title="누출을 막으려고 학습에서 뺀 항목"))
    return Part(
        title="누출 검사",
        text="다 쓴 파일을 다시 읽어 검사하며, 누출이 하나라도 있으면 이 단계는 실패하고 아무것도 남기지 않습니다. "
        "다른 말로 묻는 질문은 학습한 사실을 일부러 함께 쓰므로 세어 두기만 합니다.",
        grids=grids,
        note=f"바꿔 쓴 질문 검사는 답이 같은 질문들의 낱말을 견주는 참고 수치입니다. "
        f"따로 만든 시험 쌍에서 잰 재현율은 {PARAPHRASE_RECALL:.2f}, 정밀도는 {PARAPHRASE_PRECISION:.2f}이어서, "
        "0이라고 해도 바꿔 쓴 질문이 없다는 뜻은 아닙니다.",
    )


def _gate_row(name: str, row: Mapping[str, Any]) -> Row:
    checked, found = (_count(row, key, f"{WHERE}: leakage.{name}") for key in ("checked", "found"))
    if name.endswith(_BY_DESIGN):
        kind, verdict = "", "설계에 따름"
    elif not checked:
        kind, verdict = "", "해당 없음"
    else:
        kind, verdict = ("fail", "누출") if found else ("pass", "통과")
    return Row(label=GATES.get(name, name), cells=[fmt.plain(checked), fmt.plain(found), verdict], kind=kind)


def _paraphrase_row(row: Mapping[str, Any]) -> Row:
    pairs, checked, suspected = (_count(row, key, f"{WHERE}: paraphrases") for key in ("pairs", "checked", "suspected"))
    seen = fmt.plain(checked) if checked == pairs else f"{fmt.plain(checked)} / {fmt.plain(pairs)}"
    verdict = ("cannot_tell", "살펴볼 것") if suspected else ("", "의심 없음") if checked else ("", "해당 없음")
    label = "평가 질문을 바꿔 쓴 것으로 의심되는 학습 질문 (쌍)"
    return Row(label=label, cells=[seen, fmt.plain(suspected), verdict[1]], kind=verdict[0])


def _position_parts(prepared: Mapping[str, Any]) -> list[Part]:
    """Where the right answers stand; nothing for data without multiple choice."""
    positions, best = _table(prepared, "answer_positions"), _table(prepared, "best_constant_guess")
    if not positions:
        return []
    rows = [
        Row(
            label=set_kind_name(name),
            code=name,
            cells=[fmt.plain(sum(counts)), fmt.percent(need(best, name, f"{WHERE}: best_constant_guess")), fmt.percent(1 / len(counts))],
        )
        for name, counts in positions.items()
    ]
    return [
        Part(
            title="정답의 자리",
            text="정답이 한 자리에 몰려 있으면 문제를 읽지 않고 늘 같은 번호를 골라도 점수가 납니다. "
            "그래서 늘 같은 번호를 고를 때 얻는 가장 높은 정답률을 고르게 찍을 때와 나란히 적습니다. "
            "평가에서는 보기를 섞어 냅니다.",
            pictures=[("positions", "세트와 분할마다 정답이 놓인 자리의 비율입니다(1 = 첫째 보기). 점선은 고르게 나뉜 경우입니다.")],
            grids=[Grid(table=Table(columns=["세트 · 분할", "문항", "늘 같은 번호", "고르게 찍기"], rows=rows), stacked=True)],
        )
    ]
