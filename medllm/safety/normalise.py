"""Views of one user text under which a red flag is looked for; the highest level over all views counts, so a view can never hide one.

Every step is one pass over the text (linear time); the number of views is bounded.
"""

import re
import unicodedata
from itertools import pairwise

_LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = "_ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_VOWEL_PAIRS = {"ㅗㅏ": "ㅘ", "ㅗㅐ": "ㅙ", "ㅗㅣ": "ㅚ", "ㅜㅓ": "ㅝ", "ㅜㅔ": "ㅞ", "ㅜㅣ": "ㅟ", "ㅡㅣ": "ㅢ"}
_FINAL_PAIRS = {
    "ㄱㅅ": "ㄳ", "ㄴㅈ": "ㄵ", "ㄴㅎ": "ㄶ", "ㄹㄱ": "ㄺ", "ㄹㅁ": "ㄻ", "ㄹㅂ": "ㄼ", "ㄹㅅ": "ㄽ", "ㄹㅌ": "ㄾ",
    "ㄹㅍ": "ㄿ", "ㄹㅎ": "ㅀ", "ㅂㅅ": "ㅄ",
}  # fmt: skip
_KEYS = dict(zip("rRseEfaqQtTdwWczxvgkoiOjpuPhynbml", "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅑㅒㅓㅔㅕㅖㅗㅛㅜㅠㅡㅣ", strict=True))
# Shift on a key that has no second letter
_KEYS |= {key.upper(): jamo for key, jamo in _KEYS.items() if key.islower() and key.upper() not in _KEYS}
_HALFWIDTH = {  # half-width jamo -> compatibility jamo; U+FFA0 (filler) is deleted with the others
    code: chr(int(unicodedata.decomposition(chr(code)).split()[1], 16))
    for code in range(0xFFA1, 0xFFDD)
    if unicodedata.decomposition(chr(code))
}
_INVISIBLE = frozenset({"Cf", "Mn", "Cc", "Cs"})
_FILLERS = "\u115f\u1160\u3164\uffa0"  # category Lo, so the Cf filter alone would miss them
_LOOKALIKES = str.maketrans("쟈샬쥭", "자살죽")

SENTENCE_END = "\n"
_JAMO_RUN = re.compile("[ㄱ-ㅣ]{2,}")
_NOT_JAMO = re.compile("[^ㄱ-ㅣ]+")
_SENTENCE = re.compile(r"[.?!。…](?=\s|$)|(?<=[요다죠음까네])[.?!。…]|[?!。…\n\r]")
_NOISE = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w\s.]|_")
_BLANKS = re.compile(r"[^\S\n]+")
_LONG_REPEAT = re.compile(r"([^\W\d])\1{2,}")
_REPEAT = re.compile(r"([가-힣])\1+")
_NOT_HANGUL = re.compile(r"[^가-힣\n]+")
_LATIN_RUN = re.compile("[A-Za-z]{4}")
_NOT_ABLE = re.compile(r"([가-힣]{1,5})[지질][를도는]? ?못|([가-힣]{1,5}) ?수[가도는]? ?없")
# without blanks only the last syllables are known to be of the verb
_NOT_ABLE_DENSE = re.compile(r"(움직이|일어나|삼키|[가-힣])[지질][를도는]?못|(움직일|일어날|삼킬|[가-힣]을|[가-힣])수[가도는]?없")
# dialect and misspelling -> the wording the rules know; what stands behind a syllable keeps 레몬, 햇빛, 업무 as they are
_PLAIN = {
    "읎": "없", "꺼정": "까지", "가심": "가슴", "모가지": "목", "대가리": "머리", "시방": "지금", "인자": "이제", "안즉": "아직",
    "쪼매": "조금", "억수로": "너무", "겁나게": "너무", "허벌나게": "너무", "흘니": "흘리", "아무케": "아무렇게", "뿌렀": "버렸",
    "부렀": "버렸", "뿟": "버렸", "삐렸": "버렸", "함니": "합니", "슴니": "습니", "됨니": "됩니", "우야": "어째", "우째": "어째",
    "드가": "들어가", "드갈": "들어갈", "맥혀": "막혀", "맥히": "막히", "쓰라려": "쓰려", "갠찮": "괜찮", "괜찬": "괜찮",
}  # fmt: skip
_PLAIN_IN_PLACE = re.compile(
    "|".join([
        *sorted(_PLAIN, key=len, reverse=True),
        "잇(?=[어는습고음던다네으대])", "업(?=[어는습슴다네으]|고[^ 다싶])", "[엇앗](?=[어는습슴다음네고던])",
        "햇(?=[어는습슴다음네고던])",
        "(?<![레나키])몬(?= ?[하해허쉬일먹뜨뜬움걷자삼가깨알참누눕견])", "(?<=[오른왼한])짝",
        "(?<=[은는픈한운])디(?![가-힣])", "허(?=[고는다요니면던더지]( |$|[가-힣]))",
    ])
)  # fmt: skip
_PLAIN_BY_FIRST = {"잇": "있", "업": "없", "엇": "었", "앗": "았", "햇": "했", "몬": "못", "짝": "쪽", "디": "데", "허": "하"}
_STEMS = {"걸으": "걷", "들으": "듣", "먹으": "먹", "잡으": "잡", "굽으": "굽", "앉으": "앉"}


def compose(text: str) -> str:
    """Join compatibility jamo into syllables as a keyboard would: "ㅈㅜㄱㄱㅗ" -> "죽고"; what joins with nothing stays."""
    out: list[str] = []
    at, end = 0, len(text)
    while at < end:
        lead = text[at]
        if not (lead in _LEADS and at + 1 < end and text[at + 1] in _VOWELS):
            out.append(lead)
            at += 1
            continue
        vowel, at = text[at + 1], at + 2
        if at < end and vowel + text[at] in _VOWEL_PAIRS:
            vowel, at = _VOWEL_PAIRS[vowel + text[at]], at + 1
        final = "_"
        if at < end and text[at] in _FINALS and not _starts_syllable(text, at):
            final, at = text[at], at + 1
            if at < end and final + text[at] in _FINAL_PAIRS and not _starts_syllable(text, at):
                final, at = _FINAL_PAIRS[final + text[at]], at + 1
        out.append(chr(0xAC00 + (_LEADS.index(lead) * 21 + _VOWELS.index(vowel)) * 28 + _FINALS.index(final)))
    return "".join(out)


def readable(text: str) -> str:
    """NFC without invisible characters (format and control characters, marks, Hangul fillers, lone surrogates): what a model may read."""
    kept = "".join(c for c in text if (c not in _FILLERS and unicodedata.category(c) not in _INVISIBLE) or c in "\n\r\t")
    return unicodedata.normalize("NFC", kept)


def clean(text: str) -> str:
    """Canonical text: readable, jamo joined, width and compatibility forms folded (case is kept)."""
    joined = _JAMO_RUN.sub(lambda run: compose(run[0]), readable(text).translate(_HALFWIDTH))
    # NFKC alone would turn the remaining compatibility jamo into leading consonants, so they are kept out of it
    return _NOT_JAMO.sub(lambda part: unicodedata.normalize("NFKC", part[0]), joined)


def spaced(text: str) -> str:
    """Clean text in lower case, one blank between words, SENTENCE_END between sentences, no other marks ("자.살" -> "자살")."""
    lines = _NOISE.sub("", _SENTENCE.sub(SENTENCE_END, text.lower()))
    return _LONG_REPEAT.sub(r"\1", _BLANKS.sub(" ", lines)).strip()


def unable(text: str) -> str:
    """The long ways to say "cannot" in the short one: "쉬지를 못해요", "쉴 수가 없어요" -> "못 쉬..."; rules name only this."""

    def short(said: re.Match[str]) -> str:
        if said[1]:
            return f"못 {said[1]}"
        stem = said[2]
        last = ord(stem[-1]) - 0xAC00
        if last % 28 != _FINALS.index("ㄹ"):
            return said[0]
        stem = stem[:-1] + chr(0xAC00 + last - last % 28)
        return f"못 {stem[:-2]}{_STEMS.get(stem[-2:], stem[-2:])}"

    return (_NOT_ABLE if " " in text else _NOT_ABLE_DENSE).sub(short, text)


def plain(text: str) -> str:
    """Dialect and frequent misspellings in standard wording: "숨을 몬 쉬고 의식이 업어요" -> "숨을 못 쉬고 의식이 없어요"."""
    return _PLAIN_IN_PLACE.sub(lambda said: _PLAIN.get(said[0]) or _PLAIN_BY_FIRST[said[0]], text)


def views(text: str) -> tuple[str, ...]:
    """All distinct views: with blanks, without, without sentences, jamo attached, Hangul only, repeats collapsed, look-alikes,
    standard wording with short "cannot", keys.
    """
    canonical = clean(text)
    with_spaces = spaced(canonical)
    dense = with_spaces.replace(" ", "")
    flat = dense.replace(SENTENCE_END, "")  # "숨을... 못... 쉬어요"
    hangul = _NOT_HANGUL.sub("", dense)
    alike = (with_spaces.translate(_LOOKALIKES), hangul.translate(_LOOKALIKES))
    found = [with_spaces, dense, flat, compose(_open_syllables(dense)), hangul, _REPEAT.sub(r"\1", hangul), *alike]
    found += [unable(plain(with_spaces)), unable(plain(flat))]
    if _LATIN_RUN.search(canonical):
        typed = canonical.lower() if canonical.isupper() else canonical  # Caps Lock
        found.append(spaced(compose("".join(_KEYS.get(c, c) for c in typed))).replace(SENTENCE_END, ""))
    return tuple(dict.fromkeys(found))


def _starts_syllable(text: str, at: int) -> bool:
    return text[at] in _LEADS and at + 1 < len(text) and text[at + 1] in _VOWELS


def _open_syllables(text: str) -> str:
    # "주ㄱ고": a syllable without final before a lone consonant is taken apart, so that compose() can attach the consonant
    out: list[str] = []
    for char, after in pairwise(text + " "):
        index = ord(char) - 0xAC00
        if 0 <= index < 11172 and index % 28 == 0 and after in _LEADS:
            out += [_LEADS[index // 588], _VOWELS[index % 588 // 28]]
        else:
            out.append(char)
    return "".join(out)
