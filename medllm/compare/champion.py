"""Which model is shipped."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from medllm.compare.gates import Gate
from medllm.compare.rows import Row, accuracy_name

_RULE = (
    "smallest bytes among deployable (GGUF) models that no failed gate disqualifies and whose own gate passed, or could not tell with "
    "a point estimate within the margin; ties: higher accuracy, then name"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The chosen model, and the rule in words."""

    name: str
    rule: str


def choose_champion(rows: Mapping[str, Row], gates: Sequence[Gate], disqualified: Collection[str], *, last_resort: str) -> Champion:
    """The smallest admitted deployable model; `last_resort` (the teacher in the same engine) when none is left."""
    admitted = {gate.model for gate in gates if gate.admits} - set(disqualified)
    remaining = [row for name, row in rows.items() if row.deployable and name in admitted]
    if not remaining:
        return Champion(name=last_resort, rule=f"no model fulfils the rule ({_RULE}); last resort: {last_resort}, the uncompressed teacher")
    best = min(remaining, key=lambda row: (row.metrics["bytes"], -row.metrics[accuracy_name(row.metrics)], row.name))
    return Champion(name=best.name, rule=_RULE)
