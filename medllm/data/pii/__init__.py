"""Personal data in Korean text: found by pattern and context, masked by Korean labels such as [전화번호], so that the text still reads."""

from medllm.data.pii.masking import LABELS, PII_DUTY, find_pii, mask_pii, mask_record
from medllm.data.pii.spans import Span

__all__ = ["LABELS", "PII_DUTY", "Span", "find_pii", "mask_pii", "mask_record"]
