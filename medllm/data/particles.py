"""Korean particles that depend on the final consonant of the word before them (받침)."""

_HANGUL_FIRST, _HANGUL_LAST, _FINALS = 0xAC00, 0xD7A3, 28
_RIEUL = 8
_OTHER = 1
# How a Latin letter or a digit is read aloud decides the particle: "MRI는", "PCR은" (알), "HDL로" (엘), "1은".
_READ_WITH_FINAL = {**dict.fromkeys("lr178", _RIEUL), **dict.fromkeys("mn036", _OTHER)}


def _final(word: str) -> int:
    """Index of the final consonant of the last letter, 0 when it ends in a vowel."""
    for char in reversed(word):
        if _HANGUL_FIRST <= ord(char) <= _HANGUL_LAST:
            return (ord(char) - _HANGUL_FIRST) % _FINALS
        if char.isascii() and char.isalnum():
            return _READ_WITH_FINAL.get(char.lower(), 0)
    return 0


def attach(word: str, particle: str) -> str:
    """`attach("당뇨병", "은/는")` -> "당뇨병은". `particle` is "with-final/without-final"; "으로/로" knows the ㄹ exception."""
    closed, is_open = particle.split("/")
    final = _final(word)
    if closed.startswith("으") and final == _RIEUL:
        return word + is_open
    return word + (closed if final else is_open)
