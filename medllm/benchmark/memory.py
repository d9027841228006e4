"""Memory of this process. Imports nothing heavy: it runs in the worker before the engine, and would count."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def _status_bytes(key: str) -> int | None:
    if not _STATUS.is_file():
        return None
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def rss_parts() -> dict[str, int]:
    """Resident set now, private pages and pages of mapped files apart; the parts are left out where the system does not tell them."""
    found = {"rss_anon_bytes": _status_bytes("RssAnon"), "rss_file_bytes": _status_bytes("RssFile")}
    return {"rss_bytes": rss_bytes(), **{key: value for key, value in found.items() if value is not None}}


def rss_bytes() -> int:
    """Resident set size now, memory-mapped weight pages included."""
    found = _status_bytes("VmRSS")
    if found is not None:
        return found
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """Largest resident set size of this process since its start.

    VmHWM belongs to the memory map and starts afresh at exec. `ru_maxrss` survives exec: a small worker started by a parent with
    torch loaded would report the parent's size, so it is only the fall-back where there is no /proc.
    """
    found = _status_bytes("VmHWM")
    if found is not None:
        return found
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
