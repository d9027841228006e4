r"""Cleaning of Korean text. Meaning-bearing characters stay: formulas, ①, ㎎, ½, @placeholders, list marks (ㄱ.), Old Hangul, "....".

Every rule shortens the text or maps a character to one that no rule touches, so the passes of `clean_text` end.
"""

import html
import re
import unicodedata
from html.entities import html5

# zero-width characters, direction marks, soft hyphen, and the Hangul fillers that stand for "nothing"
_INVISIBLE = "\u00ad\u034f\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0"
_DIRECTION = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
_SPACES = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_BREAKS = "\u000b\u000c\u0085\u2028\u2029\r"
_CONTROLS = "".join(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n" + _SPACES + _BREAKS)
_REMOVED = _INVISIBLE + _DIRECTION + _CONTROLS
_WIDE = "".join(map(chr, range(0xFF01, 0xFF5F)))  # full-width ASCII: mapped here by hand, as NFKC would take ① and ㎎ along
_TABLE = str.maketrans({
    **dict.fromkeys(_SPACES, " "), **dict.fromkeys(_BREAKS, "\n"), **dict.fromkeys(_REMOVED, ""),
    **{wide: chr(ord(wide) - 0xFEE0) for wide in _WIDE},
})  # fmt: skip
_ODD = re.compile(f"[{re.escape(_SPACES + _BREAKS + _REMOVED)}{_WIDE[0]}-{_WIDE[-1]}]")
_INVISIBLE_IN_FORMULA = re.compile(f"[{re.escape(_REMOVED)}]")

# A formula: $$..$$, $..$ that hugs its content and is no pair of prices, or $ .. $ with something that only LaTeX has.
_FORMULA = re.compile(r"(\$\$.+?\$\$|\$(?=[^\s$])[^$\n]*?(?<=\S)\$(?!\d)|\$(?=[^$\n]*[\\^_{}])[^$\n]*\$)", re.DOTALL)

# Conjoining jamo that NFC could not compose: whole blocks are Old Hangul (the Korean school texts have it), the rest is debris.
_CONJOINING = "\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb"
_LONE = re.compile(f"[{_CONJOINING}]")
_JAMO = re.compile(
    "([\u1100-\u115e\ua960-\ua97c]{1,3}[\u1161-\u11a7\ud7b0-\ud7c6]{1,3}[\u11a8-\u11ff\ud7cb-\ud7fb]{0,3}|[가-힣][\u11c3-\u11ff\ud7cb-\ud7fb])"
    f"|[{_CONJOINING}]"
)
_RUN = re.compile(r"([ㄱ-ㅣ!?~♡♥가-힣])\1\1")
_LONG_RUN = re.compile(r"([ㄱ-ㅣ!?~♡♥])\1{2,}|([가-힣])\2{3,}")  # ㅋㅋㅋ, !!!, 아아아아; never ...., digits, ____ or Latin letters

_ATTRIBUTES = r"(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'|[^\s\"'<>]+))*\s*/?"
_BLOCKS = "p|br|div|tr|li|ul|ol|dl|dt|dd|table|thead|tbody|tfoot|caption|h[1-6]|hr|section|article|blockquote|pre|center"
_INLINE = "b|i|u|s|a|q|em|strong|span|font|sub|sup|small|big|td|th|img|strike|del|ins|mark|code|col|colgroup|label|tt|html|body|head|nobr"
_TAG = re.compile(rf"<(/?)(?:({_BLOCKS})|({_INLINE})){_ATTRIBUTES}>", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?-->|<!DOCTYPE[^>]*>|<(script|style)\b[^>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_RAISED = re.compile(r"<sup\s*>([^<>]{1,12})</sup\s*>", re.IGNORECASE)  # 10<sup>3</sup> must not become 103
_SUPERSCRIPT = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")

_PLACEHOLDER = re.compile(r"(?<![A-Za-z0-9._%+-])@(company|brand|product|slogan|country)(?![A-Za-z])", re.IGNORECASE)
_EXOTIC = re.compile(f"[{re.escape(_SPACES + _BREAKS + _REMOVED)}{_WIDE[0]}-{_WIDE[-1]}{_CONJOINING}<&@$]")  # clean prose has none of these


def clean_text(text: str) -> str:
    r"""NFC (never NFKC), invisible characters, HTML, jamo debris, long repeats; "  \n" to "\n"; placeholders as @COMPANY, particle kept.

    A formula between $ signs changes in nothing but NFC and invisible characters. Cleaning twice is cleaning once.
    """
    text = text.replace("\r\n", "\n")
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    while _EXOTIC.search(text) and (cleaned := _without_exotic(text)) != text:
        text = cleaned
    return text if "$" in text else _lay_out(text).strip()


def _without_exotic(text: str) -> str:
    """One pass over what is rare in clean text; one rule's outcome may be another's input (&amp;lt; or a full-width <)."""
    parts = _FORMULA.split(text) if "$" in text else [text]
    parts[::2] = [_clean_prose(prose) for prose in parts[::2]]
    parts[1::2] = [_INVISIBLE_IN_FORMULA.sub("", formula) for formula in parts[1::2]]
    return unicodedata.normalize("NFC", "".join(parts).strip())


def _clean_prose(text: str) -> str:
    if _ODD.search(text):
        text = text.translate(_TABLE)
    if "<" in text:
        text = _without_tags(text)
    if "&" in text:
        text = _ENTITY.sub(_decoded, text)
    if "@" in text:
        text = _PLACEHOLDER.sub(lambda match: match[0].upper(), text)
    if _LONE.search(text):
        text = _JAMO.sub(r"\1", text)
    return _lay_out(text)


def _lay_out(text: str) -> str:
    """Long runs of a character cut to two; one space between words, none around line breaks, at most one blank line."""
    if _RUN.search(text):
        text = _LONG_RUN.sub(r"\1\1\2\2", text)
    while "  " in text:
        text = text.replace("  ", " ")
    if "\n" in text:
        text = text.replace(" \n", "\n").replace("\n ", "\n")
        while "\n\n\n" in text:
            text = text.replace("\n\n\n", "\n\n")
    return text


def _without_tags(text: str) -> str:
    """Known tags only, so that "a < b" and "<보기>" stay; blocks end a line, table cells a word."""
    lower = text.lower()
    if "-->" in lower or "</s" in lower or "<!d" in lower:
        text = _UNSEEN.sub("", text)
    text = _RAISED.sub(_raised, text)

    def replace(match: re.Match[str]) -> str:
        if match[2]:
            return "\n"
        before = text[match.start() - 1 : match.start()]
        bare = len(match[3]) == 1 and not match[1] and before.isascii() and before.isalnum()
        if bare and not re.search(rf"</{match[3]}\s*>", text[match.end() :], re.IGNORECASE):
            return match[0]  # x<a>b is a chain of comparisons, not a link
        return " " if match[3].lower() in ("td", "th") else ""

    return _TAG.sub(replace, text)


def _raised(match: re.Match[str]) -> str:
    raised = match[1].strip()
    return raised.translate(_SUPERSCRIPT) if all(ord(char) in _SUPERSCRIPT for char in raised) else f"^{raised}"


def _decoded(match: re.Match[str]) -> str:
    """Only names that exist, only with the semicolon: "R&D;" and "A&para" stay."""
    if match[1] and f"{match[1]};" not in html5:
        return match[0]
    return html.unescape(match[0])
