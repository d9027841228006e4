"""Rules of the source tree that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc"}
MOST_LINES = 300
MOST_SCRIPT_LINES = 60


def _sources(root: Path, *folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]


def _roots(node: ast.AST) -> Iterator[str]:
    """First part of every module that a file imports when it runs."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module.partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _roots(child)


@cache
def _imported(root: Path) -> dict[str, set[str]]:
    """What every file of the library and the pipeline imports."""
    files = _sources(root, "medllm", "pipeline")
    return {path.relative_to(root).as_posix(): set(_roots(ast.parse(path.read_text(encoding="utf-8")))) for path in files}


def _importers(root: Path, module: str) -> list[str]:
    return [path for path, modules in _imported(root).items() if module in modules]


def test_import_contracts_hold(root: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout


def test_one_file_imports_mlflow(root: Path) -> None:
    assert _importers(root, "mlflow") == ["pipeline/tracking.py"]
    assert _importers(root, "sqlalchemy") == ["pipeline/tracking.py"]


def test_mlflow_is_imported_late(root: Path) -> None:
    tree = ast.parse((root / "pipeline" / "tracking.py").read_text(encoding="utf-8"))
    at_start = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert not {"mlflow", "sqlalchemy"} & {name for node in at_start for name in _roots(node)}


def test_nobody_imports_dvc(root: Path) -> None:
    assert _importers(root, "dvc") == []


def test_the_library_knows_no_configuration_framework(root: Path) -> None:
    for module in ("hydra", "omegaconf", "mlflow"):
        assert not [path for path in _importers(root, module) if path.startswith("medllm/")]


def test_stage_scripts_are_glue(root: Path, stages: dict[str, Any]) -> None:
    for name in sorted({stage["name"] for stage in stages.values()}):
        lines = (root / "pipeline" / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len([line for line in lines if line.strip()]) < MOST_SCRIPT_LINES, name


def test_files_are_short(root: Path) -> None:
    long = {
        path.relative_to(root).as_posix(): count
        for path in _sources(root, "medllm", "pipeline", "tests")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_names_say_what_is_inside(root: Path) -> None:
    paths = [path.relative_to(root) for path in _sources(root, "medllm", "pipeline", "tests")]
    assert not [path.as_posix() for path in paths if FORBIDDEN_NAMES & {*path.parent.parts, path.stem}]


def test_packaged_files_are_declared(root: Path) -> None:
    """Everything in the packages that is not Python is named in [tool.setuptools.package-data]."""
    import tomllib

    declared = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    patterns = [(root.joinpath(*package.split(".")), pattern) for package, globs in declared.items() for pattern in globs]
    found = {path for folder, pattern in patterns for path in folder.glob(pattern)}
    rest = {path for path in (root / "medllm").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert rest == found
