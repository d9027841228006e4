"""Finding and masking personal data: the finders in their order of precedence, the labels, and the duty to report."""

from collections import Counter
from dataclasses import replace

from medllm.data.pii.addresses import find_addresses
from medllm.data.pii.names import find_names, names_beside
from medllm.data.pii.numbers import find_emails, find_numbers
from medllm.data.pii.spans import Span
from medllm.data.records import Record

LABELS = {
    "resident_number": "[주민등록번호]",
    "driving_licence": "[운전면허번호]",
    "insurance_number": "[건강보험증번호]",
    "chart_number": "[등록번호]",
    "card": "[카드번호]",
    "passport": "[여권번호]",
    "phone": "[전화번호]",
    "email": "[이메일]",
    "address": "[주소]",
    "name": "[이름]",
}
PII_DUTY = (
    "personal data found in an AI Hub set: its terms of use ask you to stop using the set, report it to AI Hub (NIA) and delete the copy. "
    "AI Hub 데이터에서 개인정보가 발견되었습니다. 이용약관에 따라 해당 데이터의 이용을 멈추고, AI Hub 운영기관(한국지능정보사회진흥원, NIA)"
    "에 즉시 신고한 뒤 내려받은 데이터를 파기해 주십시오."
)


def find_pii(text: str) -> list[Span]:
    """Personal data in order of place; of overlapping finds the first of e-mail, numbers, addresses, names stays."""
    found = [span for find in (find_emails, find_numbers, find_addresses) for span in find(text)]
    found += [name for span in found for name in names_beside(text, span.start, span.end)]
    found += find_names(text)
    kept: list[Span] = []
    for span in found:
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def mask_pii(text: str) -> tuple[str, Counter[str]]:
    """Replace personal data by a Korean label; counts by kind. Masked text has nothing left to mask."""
    hits: Counter[str] = Counter()
    while spans := find_pii(text):  # ends: every label takes the place of text that no label is found in
        for span in reversed(spans):
            text = text[: span.start] + LABELS[span.kind] + text[span.end :]
        hits.update(span.kind for span in spans)
    return text, hits


def mask_record(record: Record) -> tuple[Record, Counter[str]]:
    """`mask_pii` over every text field that a model could learn from."""
    hits: Counter[str] = Counter()

    def mask(text: str) -> str:
        masked, found = mask_pii(text)
        hits.update(found)
        return masked

    masked = replace(
        record,
        question=mask(record.question),
        answer=mask(record.answer),
        passage=mask(record.passage),
        text=mask(record.text),
        options=tuple(map(mask, record.options)),
        messages=tuple((role, mask(text)) for role, text in record.messages),
        must=tuple(map(mask, record.must)),
        context=tuple(map(mask, record.context)),
    )
    return (masked if hits else record), hits
