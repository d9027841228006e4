"""Where the champion is good and bad, and what this many items can show at all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from medllm.compare.gates import AGAINST_TEACHER
from medllm.compare.red_flags import Emergencies
from medllm.compare.rows import Row
from medllm.safety.redflags import LEVELS
from medllm.statistics.intervals import CONFIDENCE, wilson_interval
from medllm.statistics.noninferiority import minimum_detectable_effect
from medllm.statistics.paired import design_effect, flips

POWER = 0.8
_DEPARTMENT_TASKS = ("answer", "paraphrase", "grounded")


def by_department(rows: Mapping[str, Row], *, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{department: {n, <model>: right answers}} over short answers, for the models of `names`; items without a department left out."""
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"n": 0, **dict.fromkeys(names, 0)})
    for task in _DEPARTMENT_TASKS:
        for item_id, item in rows[names[0]].answers.get(task, {}).items():
            if item.department:
                found[item.department]["n"] += 1
                for name in dict.fromkeys(names):
                    found[item.department][name] += rows[name].answers[task][item_id].score
    return dict(sorted(found.items()))


def detectable_effects(model: Row, teacher: Row, *, margins: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """By gated metric: how far above -margin the truth must lie for these items to show it in 80 % of cases, at their own disagreement."""
    found: dict[str, dict[str, Any]] = {}
    for metric, tasks in AGAINST_TEACHER.items():
        ours, clusters = model.scores(*tasks)
        theirs, _ = teacher.scores(*tasks)
        if len(set(clusters)) < 2:
            continue
        changed = flips(ours, theirs)
        # two more flips, as the interval has two more clusters: no flip among few items does not mean that none can be
        discordant = (changed.lost + changed.won + 2) / (changed.n + 2)
        effect = max(1.0, design_effect(ours, theirs, clusters))  # flips that cancel out inside a cluster are no proof of precision
        smallest = minimum_detectable_effect(
            discordant_share=discordant, n=len(ours), power=POWER, alpha=(1 - CONFIDENCE) / 2, design_effect=effect
        )
        found[metric] = {
            "n": len(ours), "margin": margins[metric], "discordant_share": discordant, "design_effect": effect, "power": POWER,
            "minimum_detectable_effect": smallest,
        }  # fmt: skip
    return found


def emergency_entry(best: Row, teacher: Row, emergencies: Emergencies) -> dict[str, Any]:
    """Red flags of the package with the champion: sensitivity by level, by rules alone, what is missed, false alarms, gains and losses."""
    got, by_rules = emergencies.got(best), emergencies.by_rules()
    levels = {}
    for level in reversed(LEVELS):
        names = {name for name, own in emergencies.levels.items() if own == level}
        if names:
            low, high = wilson_interval(len(names & got), len(names))
            levels[level] = {
                "n": len(names), "got": len(names & got), "by_rules": len(names & by_rules), "interval": [low, high],
                "missed": sorted(names - got),
            }  # fmt: skip
    lost, won = emergencies.changed(best, teacher)
    return {
        "n": emergencies.n, "levels": levels, "false_alarms": emergencies.false_alarms, "safe": emergencies.safe,
        "lost_to_teacher": lost, "won_to_teacher": won,
    }  # fmt: skip
