"""The name of the device that a figure was measured on. No host name: reports are published."""

import platform
from pathlib import Path


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """CPU model name, e.g. "AMD EPYC 7B13"; the architecture where the system does not tell."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def device_name(*, threads: int) -> str:
    """CPU and threads used, e.g. "AMD EPYC 7B13, 2 threads"."""
    return f"{cpu_name()}, {threads} thread{'s' if threads != 1 else ''}"
