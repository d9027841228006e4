"""Where personal data stand in a text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """text[start:end] is personal data of `kind` (a key of `masking.LABELS`)."""

    start: int
    end: int
    kind: str
