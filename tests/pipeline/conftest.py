"""The DAG with its foreach expanded, and a throw-away copy of the project to break."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from pipeline.compose import compose
from pipeline.search_space import Space, read_space

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("conf", "pipeline", "medllm", "data/knowledge", "data/evaluation", "artifacts/results")
COPIED_FILES = (
    "dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "data/.gitignore", "artifacts/.gitignore",
)  # fmt: skip

Run = Callable[..., subprocess.CompletedProcess[str]]


def _lookup(dotted: str, names: Mapping[str, Any]) -> Any:
    value: Any = names
    for part in dotted.split("."):
        value = value[part]
    return value


def _fill(value: Any, names: Mapping[str, Any]) -> Any:
    """`value` with every ${dotted.name} put in; keys too."""
    if isinstance(value, str):
        return re.sub(r"\$\{([\w.]+)\}", lambda match: str(_lookup(match[1], names)), value)
    if isinstance(value, list):
        return [_fill(inner, names) for inner in value]
    if isinstance(value, dict):
        return {_fill(key, names): _fill(inner, names) for key, inner in value.items()}
    return value


def _expand(stages: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, entry in stages.items():
        if "foreach" not in entry:
            found[name] = {**_fill(entry, params), "name": name}
            continue
        items = entry["foreach"]
        if isinstance(items, str):
            items = _lookup(items.removeprefix("${").removesuffix("}"), params)
        items = _fill(items, params)
        for key, item in items.items() if isinstance(items, dict) else ((item, item) for item in items):
            found[f"{name}@{key}"] = {**_fill(entry["do"], {**params, "key": key, "item": item}), "name": name}
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def params() -> dict[str, Any]:
    """The committed params.yaml."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return content


@pytest.fixture(params=["default", "rescue", "peers"])
def wired(request: pytest.FixtureRequest, params: dict[str, Any]) -> dict[str, Any]:
    """The committed params.yaml, and those of the experiments that add a stage."""
    if request.param == "default":
        return params
    composed: Any = OmegaConf.to_container(compose([f"experiment={request.param}"]), resolve=True)
    return dict(composed)


@pytest.fixture
def stages(wired: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every stage of dvc.yaml by its full name (`finetune@teacher`); `name` is the part before @."""
    return _expand(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"], wired)


def _environment(private: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "MEDLLM_", "GIT_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # dvc.yaml says `python`
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(private),
        "DVC_SYSTEM_CONFIG_DIR": str(private),
        "DVC_SITE_CACHE_DIR": str(private),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`run(folder, "dvc", "repro", "config")`: a command in a folder, with nothing of the caller's DVC or git settings."""
    environment = _environment(tmp_path_factory.mktemp("settings"))

    def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)

    return command


@cache
def _composed() -> str:
    """Composed here, so that a forgotten `python -m pipeline.compose` fails its own test and not twenty others."""
    return OmegaConf.to_yaml(compose())


def _copy(target: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED_FILES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    (target / "params.yaml").write_text(_composed(), encoding="utf-8")
    return target


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of conf/, pipeline/, medllm/ and what DVC needs, to change at will."""
    return _copy(tmp_path / "project")


@pytest.fixture(scope="module")
def shared_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for tests that leave it as it was."""
    return _copy(tmp_path_factory.mktemp("shared") / "project")


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A copy as a git and DVC repository with one commit. Read-only."""
    copy = _copy(tmp_path_factory.mktemp("committed") / "project")
    for arguments in ("init -q", "config user.name test", "config user.email test@example.invalid", "add -A", "commit -qm one"):
        result = run(copy, "git", *arguments.split())
        assert result.returncode == 0, result.stderr
    return copy


@pytest.fixture
def repository(committed: Path, tmp_path: Path) -> Path:
    """The same to change at will."""
    return Path(shutil.copytree(committed, tmp_path / "project", symlinks=True))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Space]:
    """`write(content)`: the content as conf/search/given.yaml, read."""
    monkeypatch.setattr("pipeline.search_space.CONF", tmp_path)

    def written(content: Any) -> Space:
        path = tmp_path / "search" / "given.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return read_space("given")

    return written
