"""How many items the publishers say a set has: what a reading is held against in the data report."""

from dataclasses import dataclass
from typing import Literal

from medllm.data.aihub.item import ESSENTIAL, INTERVIEW, KOREAN, MATHS, SPECIALIST


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Items that can be downloaded, by official part; None where nobody states it. `total` may hold the tenth that AI Hub keeps back."""

    train: int | None
    validation: int | None
    total: int | None
    unit: str
    confidence: Literal["high", "medium"]
    source: str


PUBLISHED: dict[str, Published] = {
    ESSENTIAL: Published(
        train=15360, validation=1920, total=17280, unit="questions", confidence="high",
        source="JKSCI 31(5) 2026 states 17,280; the parts are inferred from 80:10",
    ),
    SPECIALIST: Published(
        train=12228, validation=1530, total=13758, unit="questions", confidence="high",
        source="the set's page states 15,286 with the part kept back; the parts are inferred from 80:10",
    ),
    MATHS: Published(
        train=None, validation=None, total=20319, unit="problems", confidence="high",
        source="the set's page, the part kept back included",
    ),
    KOREAN: Published(train=None, validation=None, total=None, unit="questions", confidence="medium", source="no published count is known"),
    INTERVIEW: Published(
        train=None, validation=None, total=2734, unit="interviews", confidence="medium", source="inferred from a tenth of 273 or 274",
    ),
    "kormedmcqa": Published(
        train=None, validation=7469, total=7469, unit="questions", confidence="high",
        source="arXiv 2403.01469v3; all parts are read as validation; the few-shot rows are not counted",
    ),
    "komedqa": Published(
        train=33379, validation=None, total=33379, unit="questions", confidence="high", source="the set's data card, one part",
    ),
}  # fmt: skip
