"""What fetching a base returns, wherever the base came from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medllm.training import TrainResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """What was fetched; `training` is None, and the counts of facts 0, when nothing was trained here.

    `exposures_per_fact` is how often a statement of one fact was seen, over all its wordings.
    """

    parameters: int
    vocab_size: int
    revision: str
    facts: int = 0
    exposures_per_fact: float = 0.0
    training: "TrainResult | None"
