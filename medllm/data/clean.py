"""Text cleaning and masking of personal data. Meaning-bearing characters stay: LaTeX, ①, ㎎, @placeholders, blood pressures, doses."""

import re
import unicodedata
from collections import Counter
from dataclasses import replace

from medllm.data.records import Record

# zero-width characters, direction marks, soft hyphen, and the Hangul fillers that stand for "nothing"
_INVISIBLE = "\u00ad\u034f\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0"
_DIRECTION = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_SPACES = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_BREAKS = "\u000b\u000c\u0085\u2028\u2029\r"
_CONTROLS = "".join(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n" + _SPACES + _BREAKS)
_REMOVED = _INVISIBLE + _DIRECTION + _CONTROLS
_TABLE = str.maketrans({**dict.fromkeys(_SPACES, " "), **dict.fromkeys(_BREAKS, "\n"), **dict.fromkeys(_REMOVED, "")})

# Digit borders keep longer codes whole; the check digit of 주민번호 is not used, numbers since October 2020 do not carry it.
_RRN = r"(?<!\d)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[-– ]?[1-8]\d{6}(?!\d)"
_MOBILE = r"(?<![\d.])01[016789][-. ]?\d{3,4}[-. ]?\d{4}(?!\d)"
_LANDLINE = r"(?<![\d.])\(?0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50\d)(?:\) ?|[-. ])\d{3,4}[-. ]\d{4}(?!\d)"
_ABROAD = r"(?<![\d+])\+82[-. ]?(?:1[016789]|2|[3-6][1-5]|70)[-. ]?\d{3,4}[-. ]?\d{4}(?!\d)"
_EMAIL = r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
PII: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("resident_number", re.compile(_RRN), "[주민등록번호]"),
    ("phone", re.compile(f"{_MOBILE}|{_LANDLINE}|{_ABROAD}"), "[전화번호]"),
    ("email", re.compile(_EMAIL), "[이메일]"),
)
_PII_HINT = re.compile(r"\d{4}|@")


def clean_text(text: str) -> str:
    r"""NFC (never NFKC: it turns ① into 1), invisible characters out, "  \n" to "\n", runs of spaces and blank lines cut short."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").translate(_TABLE))
    text = re.sub(r" {2,}", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def mask_pii(text: str) -> tuple[str, Counter[str]]:
    """Replace resident numbers, phone numbers and e-mail addresses by a Korean label; counts by kind."""
    hits: Counter[str] = Counter()
    if _PII_HINT.search(text):
        for kind, pattern, label in PII:
            text, count = pattern.subn(label, text)
            if count:
                hits[kind] += count
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
        must=tuple(map(mask, record.must)),
        context=tuple(map(mask, record.context)),
    )
    return masked, hits
