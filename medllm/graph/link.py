"""Dictionary linking: find the names of the graph in inflected, freely spaced Korean text, in linear time.

Korean glues particles and endings to a noun, so a name ends where one of them may start, not at a space. Long names are safe
anywhere; short ones also occur inside other words (치질 in 양치질, 이명 in 이명박), so these must begin a word and be followed by
something that can follow a noun.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from medllm.graph.homonyms import other_sense, other_sense_said
from medllm.graph.phrases import Phrases
from medllm.graph.store import Graph, Node

_KIND_ORDER = ("disease", "symptom", "test", "drug", "department", "term")
_FREE = 3  # from this many letters on, a name in Hangul is taken anywhere, also in the middle of a word
_UPPERCASE_ONLY = 2  # Latin abbreviations up to this length must be in capitals: "CT", never "ct" or the "er" of a foreign word

_PARTICLE = (
    "이나|이라도|라도|이랑|하고|에게서|에게|에서|에선|에는|에도|한테|께서|께|으로|로|부터|까지|보다|처럼|같이|마다|조차|마저|밖에|뿐|"
    "이든지|든지|이든|이|가|은|는|을|를|도|만|의|에|와|과|랑|나|엔|요|죠"
)
_COPULA = (
    "입니|이에요|예요|에요|이예요|인데|인가|인지|인줄|인걸|인거|이고|이며|이라|라고|라는|라서|라면|래|이신|이셔|이세|이었|였|이면|이던|"
    "이야|이죠|이겠|이래|이랬|이네|이군|이잖|이지|이더|이세|일까|일지|일수|일 수|인 "
)
_VERB = "하|한|할|합|해|했|되|된|될|됩|돼|됐|있|없|걸|걱|같|때문|나고|나는|나면|나서|나요|나타|난|났|심하|심해|심한|생"
_CLINICAL = (
    "증상|증세|환자|검사|치료|수술|진단|예방|관리|수치|약|병|증|성|기운|끼|몸살|합병증|클리닉|초기|말기|전단계|판정|의심|전문의|전문|"
    "센터|후유증|질환|때"
)
_AFTER = re.compile(rf"(?:{_CLINICAL})?(?:{_COPULA}|(?:{_PARTICLE}){{0,3}}(?:{_VERB}|(?![가-힣])))")
_AFTER_ONE = re.compile(rf"(?:{_PARTICLE}){{1,2}}(?![가-힣])|{_COPULA}| ?(?:{_CLINICAL})|(?=[^\w ])| *\Z")
_BEFORE = ("급성", "만성", "소아", "노인성", "세균성", "바이러스성", "재발성", "임신성", "알레르기성", "양쪽", "오른쪽", "왼쪽", "한쪽")
_BEFORE_PARTICLE = frozenset("가이은는을를도의에와과로서고만")
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A name found in a text: text[start:end] == surface, for the text in NFC."""

    start: int
    end: int
    surface: str
    node_id: str


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What a name means. `spaces` are the places (letters before it) where the name itself may have a space."""

    node_id: str
    rank: tuple[bool, bool, int, str]
    length: int
    latin: bool
    spaces: set[int]
    short_first: bool
    short_last: bool


@dataclass(slots=True)
class _Trie:
    children: dict[str, "_Trie"] = field(default_factory=dict)
    entry: _Entry | None = None


def _length_first(span: tuple[int, int, str, int]) -> tuple[int, int, int]:
    start, end, _, skipped = span
    return start - end + skipped, start, skipped


def _fold(text: str) -> str:
    """Lower case of ASCII and plain spaces, character by character, so that offsets stay those of the NFC text."""
    return re.sub(r"\s", " ", text).translate(_LOWER)


def _is_hangul(char: str) -> bool:
    return "가" <= char <= "힣"


def name_key(name: str) -> str:
    """The form in which two spellings of a name are the same: NFC, ASCII lower case, spaces only between Latin words."""
    folded = " ".join(_fold(unicodedata.normalize("NFC", name)).split())
    return re.sub(r"(?<=[가-힣]) | (?=[가-힣])", "", folded)


def name_rank(name: str, node: Node) -> tuple[bool, bool, int, str]:
    """Sorts the nodes that share a name, see Linker."""
    key, own = name_key(name), name_key(node.name)
    return key != own, key in own, _KIND_ORDER.index(node.kind), node.id


def _spaces(name: str) -> set[int]:
    """Letters of the key before each space that the key leaves out."""
    parts = unicodedata.normalize("NFC", name).split()
    return {len(name_key(" ".join(parts[:count]))) for count in range(1, len(parts))}


class Linker:
    """Finds names of graph nodes in text. Building it takes milliseconds; it holds no state between calls."""

    def __init__(self, graph: Graph) -> None:
        """A surface form of several nodes goes to the one whose standard name it is, else rather to one whose name it is not a mere
        part of ("CT" of 복부 CT 검사), then by kind (disease first), then by id.
        """
        self._root = _Trie()
        self._starts: set[tuple[str, str]] = set()
        self._ones: set[str] = set()
        self._phrases = Phrases(graph.phrases)
        for node in graph.nodes.values():
            for name in node.names:
                self._insert(name, node)

    def link(self, text: str) -> list[Mention]:
        """Mentions in text order that do not overlap; of overlapping ones the longest is taken. Offsets are those of NFC(text)."""
        text = unicodedata.normalize("NFC", text)
        taken = bytearray(len(text))
        chosen: list[Mention] = []
        for start, end, node_id, _ in sorted(self._found(text), key=_length_first):
            if not any(taken[start:end]):
                taken[start:end] = b"\x01" * (end - start)
                chosen.append(Mention(start=start, end=end, surface=text[start:end], node_id=node_id))
        return sorted(chosen, key=lambda mention: mention.start)

    def parts(self, text: str) -> list[str]:
        """Ids of all nodes that the text names, those inside longer names too ("백내장 수술": also 백내장), in text order."""
        found = self._found(unicodedata.normalize("NFC", text))
        return list(dict.fromkeys(node_id for _, _, node_id, _ in sorted(found, key=lambda span: (span[0], -span[1], span[2]))))

    def _found(self, text: str) -> list[tuple[int, int, str, int]]:
        """(start, end, node id, letters read over) of every name and phrase in an NFC text."""
        folded = _fold(text)
        found = [(*span, 0) for start in self._positions(folded) for span in self._names_at(text, folded, start)]
        inside = {position for start, end, _, _ in found for position in range(start + 1, end)}
        # never 열이 나다 in "치열이 나다", but 관절이 붓다 in "무릎 관절이 붓다"
        said = [span for span in self._phrases.find(text) if span[0] not in inside or text[span[0] - 1] == " "]
        return found + [span for span in said if not other_sense_said(folded, span[0], span[1])]

    def _insert(self, name: str, node: Node) -> None:
        key = name_key(name)
        pieces = name.split()
        trie = self._root
        for char in key:
            trie = trie.children.setdefault(char, _Trie())
        rank = name_rank(name, node)
        entry = _Entry(
            node_id=node.id, rank=rank, length=len(key), latin=not any(map(_is_hangul, key)), spaces=_spaces(name),
            short_first=len(pieces[0]) == 1 or len(key) < _FREE, short_last=len(pieces[-1]) == 1 or len(key) < _FREE,
        )  # fmt: skip
        if trie.entry is not None:
            entry.spaces |= trie.entry.spaces
            if trie.entry.rank < rank:
                entry.node_id, entry.rank = trie.entry.node_id, trie.entry.rank
        trie.entry = entry
        if len(key) == 1:
            self._ones.add(key)
        else:
            self._starts |= {(key[0], key[1]), (key[0], " ")}

    def _positions(self, folded: str) -> Iterator[int]:
        """Where a name can start, by its first two letters: a cheap test, as nearly all positions fail it."""
        starts, ones = self._starts, self._ones
        for index, pair in enumerate(zip(folded, (folded + " ")[1:], strict=True)):
            if pair in starts or pair[0] in ones:
                yield index

    def _names_at(self, text: str, folded: str, start: int) -> Iterator[tuple[int, int, str]]:
        """All names that start here and fit their surroundings; the walk is bounded by the longest name."""
        trie, gaps, letters, position = self._root, set[int](), 0, start
        while position < len(folded):
            char = folded[position]
            if char == " " and char not in trie.children:
                beside_hangul = _is_hangul(folded[position - 1]) or _is_hangul(folded[position + 1 : position + 2])
                if letters == 0 or letters in gaps or not beside_hangul:
                    return
                gaps.add(letters)
                position += 1
                continue
            child = trie.children.get(char)
            if child is None:
                return
            trie, letters, position = child, letters + 1, position + 1
            if trie.entry is not None and _fits(trie.entry, text, folded, start, position, gaps):
                yield start, position, trie.entry.node_id


def _fits(entry: _Entry, text: str, folded: str, start: int, end: int, gaps: set[int]) -> bool:
    """Whether the letters around a spelled name let it be that name."""
    if other_sense(folded, start, end):
        return False
    if entry.latin and entry.length <= _UPPERCASE_ONLY and not text[start:end].isupper():
        return False
    if entry.length == 1:
        return (start == 0 or not folded[start - 1].isalnum()) and _AFTER_ONE.match(folded, end) is not None
    respaced = not gaps <= entry.spaces
    if respaced and entry.length < _FREE:
        return False  # "두 통 주세요" is not 두통
    return _fits_left(folded, start, entry.short_first or respaced) and _fits_right(folded, end, entry.short_last or respaced)


def _fits_left(folded: str, start: int, strict: bool) -> bool:
    if not _is_hangul(folded[start]):
        return not (start and _is_latin(folded, start - 1))
    return not strict or _starts_word(folded, start)


def _fits_right(folded: str, end: int, strict: bool) -> bool:
    if not _is_hangul(folded[end - 1]):
        return not _is_latin(folded, end)
    return not strict or _AFTER.match(folded, end) is not None


def _is_latin(folded: str, index: int) -> bool:
    """Whether there is an ASCII letter or digit at the index."""
    return index < len(folded) and folded[index].isascii() and folded[index].isalnum()


def _starts_word(folded: str, start: int) -> bool:
    """At the start of a word, after a medical prefix ("급성위염"), or after a particle without its space ("제가감기에")."""
    if start == 0:
        return True
    if not _is_hangul(folded[start - 1]):
        return not _is_latin(folded, start - 1)
    if folded[start - 1] in _BEFORE_PARTICLE and start >= 2 and _is_hangul(folded[start - 2]):
        return True
    return folded.endswith(_BEFORE, max(0, start - 5), start)
