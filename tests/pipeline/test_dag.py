"""dvc.yaml against the scripts, the parameters and the imports it speaks of."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.schema import OPTIONS

# Not in the deps of every stage, because a change here must not re-run trainings:
EXEMPT = {
    # They read and check the configuration: a change can refuse a run or change params.yaml, which is hashed. The config stage has them.
    "pipeline/entry.py", "pipeline/messages.py", "pipeline/schema.py", "pipeline/validate.py", "pipeline/options/__init__.py",
    "pipeline/options/ab.py", "pipeline/options/data.py", "pipeline/options/distill.py", "pipeline/options/finetune.py",
    "pipeline/options/judge.py", "pipeline/options/knobs.py", "pipeline/options/model.py", "pipeline/options/prune.py",
    "pipeline/options/quantize.py", "pipeline/conf_sha.py",
    # Where files go and how metrics are written: the paths are outs of dvc.yaml, so a change breaks the stage at once.
    "pipeline/layout.py", "pipeline/record.py",
    # They watch a training and keep its checkpoints; no artifact holds anything of theirs.
    "pipeline/tracking.py", "pipeline/train_run.py", "pipeline/inputs.py", "pipeline/store.py", "pipeline/curves.py",
    # Environment variables against telemetry.
    "pipeline/__init__.py",
    # One exception class and one docstring.
    "medllm/errors.py", "medllm/__init__.py",
}  # fmt: skip
WIRING = {"source", "target", "teacher", "node"}  # on the command line, which DVC hashes
UNHASHED = {"experiment_name"}  # where MLflow shows the run
WHOLE = "params.yaml"


def _param_keys(stage: dict[str, Any]) -> list[str]:
    return [key if isinstance(key, str) else next(iter(key)) for key in stage.get("params", [])]


def _paths(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _outputs(stage: dict[str, Any]) -> list[str]:
    return [path.rstrip(":") for path in _paths(stage.get("outs", [])) + _paths(stage.get("metrics", []))]


def _lookup(params: dict[str, Any], dotted: str) -> Any:
    value: Any = params
    for part in dotted.split("."):
        value = value[part]
    return value


def _module_file(root: Path, name: str) -> Path | None:
    """File of a module of ours; the longest part of a dotted name that is a module counts (`medllm.compare.compare` -> the package)."""
    parts = name.split(".")
    if parts[0] not in ("medllm", "pipeline"):
        return None
    while parts:
        path = root.joinpath(*parts)
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if (path / "__init__.py").is_file():
            return path / "__init__.py"
        parts.pop()
    return None


def _imported(node: ast.AST) -> Iterator[str]:
    """What a file imports anywhere, in functions too, but not for type checkers alone. A module in a list of strings is run by name."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.List):
        words = (inner.value for inner in node.elts if isinstance(inner, ast.Constant))
        yield from (word for word in words if isinstance(word, str) and re.fullmatch(r"medllm(\.\w+)+", word))
    for child in children:
        yield from _imported(child)


@functools.cache
def _files(root: Path, path: Path) -> frozenset[Path]:
    """Our files that the imports of one file run, packages' __init__ included."""
    found = {file for name in _imported(ast.parse(path.read_text(encoding="utf-8"))) if (file := _module_file(root, name))}
    inside = [parent for parent in path.parents if root in parent.parents]
    return frozenset(found | {init for parent in inside if (init := parent / "__init__.py").is_file()})


def _closure(root: Path, start: set[Path]) -> set[str]:
    """Every file of ours that `start` can import, relative to the root."""
    todo, seen = list(start), set(start)
    while todo:
        new = _files(root, todo.pop()) - seen
        seen |= new
        todo += new
    return {path.relative_to(root).as_posix() for path in seen}


def _only_a_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return len(body) == 1 and isinstance(body[0], ast.Expr)


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key in ("_target_", "path") and isinstance(inner, str))
        for inner in value.values():
            yield from _targets(inner)


def _start(root: Path, stage: dict[str, Any], params: dict[str, Any]) -> set[Path]:
    """The script and whatever its parameters can name: the option in use and the other options of its groups."""
    names = [f"pipeline.{stage['name']}"]
    for key in _param_keys(stage):
        if key != WHOLE and "." not in key.removeprefix("finetune.").removeprefix("quantize."):
            names += _targets(_lookup(params, key))
            names += [schema._target_ for group, _, schema in OPTIONS if group == key.split(".")[0]]
    return {file for name in names if (file := _module_file(root, name))}


def _covered(path: str, deps: list[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep}/") for dep in deps)


def test_every_stage_is_a_script_of_its_name(stages: dict[str, Any], wired: dict[str, Any], root: Path) -> None:
    for full, stage in stages.items():
        assert re.match(rf"python -m pipeline\.{stage['name']}( |$)", stage["cmd"]), full
        assert stage["desc"].endswith("."), full
    apps = {path.stem for path in (root / "pipeline").glob("*.py") if "\n@entrypoint\n" in path.read_text(encoding="utf-8")}
    optional = {stage for stage, key in (("rescue", "rescue"), ("peer", "peers")) if not wired["chain"][key]}
    assert apps - {stage["name"] for stage in stages.values()} == {"ab"} | optional


def test_metric_files_carry_the_name_of_their_stage(stages: dict[str, Any]) -> None:
    for full, stage in stages.items():
        for path in _paths(stage.get("metrics", [])):
            assert path == f"artifacts/metrics/{full.replace('@', '/')}.json"


def test_parameters_resolve(stages: dict[str, Any], wired: dict[str, Any]) -> None:
    for full, stage in stages.items():
        for key in _param_keys(stage):
            if key != WHOLE:
                assert _lookup(wired, key) is not None, f"{full}: {key}"


def test_every_value_that_a_script_reads_is_a_parameter_of_its_stage(stages: dict[str, Any], root: Path) -> None:
    for full, stage in stages.items():
        keys = _param_keys(stage)
        if WHOLE in keys:
            continue
        text = (root / "pipeline" / f"{stage['name']}.py").read_text(encoding="utf-8")
        for dotted in set(re.findall(r"\bcfg\.(\w+(?:\.\w+)*)", text)) - WIRING - UNHASHED:
            hashed = any(f"{dotted}.".startswith(f"{key}.") or f"{key}.".startswith(f"{dotted}.") for key in keys)
            assert hashed, f"{full} reads cfg.{dotted}, which is not in its params"


def test_models_are_those_that_the_stages_build(stages: dict[str, Any], wired: dict[str, Any]) -> None:
    outputs = [path for stage in stages.values() for path in _outputs(stage)]
    built = [path.removeprefix("artifacts/models/") for path in outputs if path.startswith("artifacts/models/")]
    assert sorted(built) == sorted(wired["models"])
    assert {wired["compare"]["baseline_a"], wired["compare"]["baseline_b"]} <= set(built)
    assert {stage.removeprefix("evaluate@") for stage in stages if stage.startswith("evaluate@")} == set(built)
    assert "artifacts/models" in stages["benchmark"]["deps"]


def test_wiring_on_the_command_line_is_declared(stages: dict[str, Any]) -> None:
    for full, stage in stages.items():
        words = dict(word.split("=", 1) for word in stage["cmd"].split()[3:])
        assert set(words) <= WIRING, full
        for key in {"source", "teacher"} & set(words):
            assert f"artifacts/models/{words[key]}" in stage["deps"], full
        if "target" in words:
            assert f"artifacts/models/{words['target']}" in _outputs(stage), full
        if "node" in words:
            group = {"peer": "quantize"}.get(stage["name"], stage["name"])
            assert f"{group}.{words['node']}" in _param_keys(stage), full


def test_every_artifact_that_is_read_is_built(stages: dict[str, Any], root: Path) -> None:
    outputs = [path for stage in stages.values() for path in _outputs(stage)]
    for full, stage in stages.items():
        for dep in stage["deps"]:
            built = dep.startswith(("artifacts", "data/raw", "data/prepared")) and dep != "artifacts/results"  # dated, in git
            tracked = (root / dep).exists() and not built
            assert tracked or any(_covered(dep, [out]) or _covered(out, [dep]) for out in outputs), f"{full}: {dep}"


def test_deps_cover_what_the_stage_imports(stages: dict[str, Any], wired: dict[str, Any], root: Path) -> None:
    missing = {
        (stage["name"], path)
        for stage in stages.values()
        for path in _closure(root, _start(root, stage, wired))
        if path not in EXEMPT and not _covered(path, stage["deps"]) and not _only_a_docstring(root / path)
    }
    assert not missing, "\n".join(f"{name}: add {path} to its deps in dvc.yaml" for name, path in sorted(missing))


def test_no_stage_depends_on_code_that_it_never_imports(stages: dict[str, Any], wired: dict[str, Any], root: Path) -> None:
    needless = {
        (stage["name"], dep)
        for stage in stages.values()
        for dep in stage["deps"]
        if dep.startswith(("medllm/", "pipeline/"))
        and not any(_covered(path, [dep]) for path in _closure(root, _start(root, stage, wired)))
    }
    assert not needless, "\n".join(f"{name}: {dep} would re-run it for nothing" for name, dep in sorted(needless))


def test_config_stage_depends_on_what_checks_the_configuration(stages: dict[str, Any], root: Path) -> None:
    used = _closure(root, {root / "pipeline" / "config.py"})
    exempt = {"pipeline/layout.py", "pipeline/__init__.py", "medllm/errors.py", "medllm/__init__.py"}
    assert [path for path in used - exempt if not _covered(path, stages["config"]["deps"])] == []
    outputs = [path for stage in stages.values() for path in _outputs(stage)]
    for full, stage in stages.items():
        waits = any(_covered(dep, [out]) or _covered(out, [dep]) for dep in stage["deps"] for out in outputs)
        assert waits or full == "config", f"{full} could start before the configuration is checked"


@pytest.mark.parametrize(("text", "names"), [
    ("import medllm.a\nfrom medllm.b import c", {"medllm.a", "medllm.b.c"}),
    ("def f():\n    from medllm.late import g", {"medllm.late.g"}),
    ("if TYPE_CHECKING:\n    import medllm.types\nelse:\n    import medllm.real", {"medllm.real"}),
    ("run([python, '-m', 'medllm.worker'])", {"medllm.worker"}),
])  # fmt: skip
def test_imports_are_read_from_the_syntax_tree(text: str, names: set[str]) -> None:
    assert set(_imported(ast.parse(text))) == names
