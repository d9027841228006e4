"""Names as archives hold them: NFC and NFD, cp949 that says it is cp437, a leading "/", and names that point outside."""

import re
import unicodedata
import zipfile

from medllm.errors import UserError


def nfc(text: str) -> str:
    """Composed Hangul, and a replacement character for what cannot be printed on one line."""
    text = unicodedata.normalize("NFC", text)
    if text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") else character for character in text)


def zip_name(info: zipfile.ZipInfo) -> str:
    """The name in Unicode. AI Hub archives carry names in cp949 without saying so."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    return _decoded(info.orig_filename.encode("cp437"), info.orig_filename)  # not declared UTF-8: zipfile has read the bytes as cp437


def tar_name(name: str) -> str:
    """The name in Unicode of a tar that was opened as UTF-8 with surrogateescape."""
    raw = name.encode("utf-8", "surrogateescape")
    return _decoded(raw, raw.decode("utf-8", "replace"))


def inside(name: str, archive: str) -> str:
    """The name as a path inside the archive; a leading "/" is dropped. UserError: it points outside (zip-slip)."""
    name = nfc(name).replace("\\", "/").lstrip("/")
    if ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{archive}: member {name!r} points outside the archive; do not use this file")
    return name


def is_litter(name: str) -> bool:
    """Files that macOS and editors leave: hidden names and __MACOSX."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/"))


def _decoded(raw: bytes, otherwise: str) -> str:
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return otherwise
