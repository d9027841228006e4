"""What dvc.lock says about a finished pipeline."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Lock = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """An output or input of a stage as dvc.lock has it; `md5` names it in DVC's cache."""

    path: str
    md5: str
    num_bytes: int
    num_files: int


def stage_names() -> set[str]:
    """Stages of the present dvc.yaml and params.yaml; dvc.lock also keeps those of wirings that are gone. OSError when DVC cannot tell."""
    listed = subprocess.run([sys.executable, "-m", "dvc", "stage", "list", "--name-only"], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise OSError(f"dvc stage list: {' '.join(listed.stderr.split())}")
    return set(listed.stdout.split())


def read_lock(path: Path, stages: Collection[str]) -> Lock:
    """Entries of dvc.lock by stage (command, inputs, parameters, outputs); `track` itself is left out."""
    entries: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
    return {name: entries[name] for name in sorted(entries) if name in stages and name != "track"}


def stage_keys(lock: Lock) -> dict[str, str]:
    """Hash of each stage's entry."""
    return {name: hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest() for name, entry in lock.items()}


def lock_key(keys: Mapping[str, str]) -> str:
    """Hash over all stages."""
    return hashlib.sha256("".join(keys[name] for name in sorted(keys)).encode()).hexdigest()


def words(command: str) -> dict[str, str]:
    """The key=value words of a command."""
    return dict(word.split("=", 1) for word in command.split() if "=" in word)


def output(lock: Lock, path: str) -> Output | None:
    """The output at `path`, of whichever stage."""
    return next((found for entry in lock.values() for found in _listed(entry.get("outs", ())) if found.path == path), None)


def reads(entry: Mapping[str, Any], path: str) -> bool:
    """Whether a stage has `path` among its inputs."""
    return any(found.path == path for found in _listed(entry.get("deps", ())))


def _listed(entries: Collection[Mapping[str, Any]]) -> list[Output]:
    return [
        Output(path=entry["path"], md5=str(entry.get("md5", "")), num_bytes=entry.get("size", 0), num_files=entry.get("nfiles", 1))
        for entry in entries
    ]
