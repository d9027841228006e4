"""What fetching a base returns, wherever the base came from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medllm.training import TrainResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """Facts of a fetched base; `training` is None when nothing was trained here."""

    parameters: int
    vocab_size: int
    revision: str
    training: "TrainResult | None"
