"""lm-eval's Korean tasks by name, with their data sets from the hub or from local files of the same format."""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medllm.errors import UserError
from medllm.model.folder import sha256_of

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks.manager import TaskDict

FAMILIES = ("haerae", "kmmlu", "kobest", "kormedmcqa")  # reading all 14,000 tasks that lm-eval has takes 10 s
_BUILDERS = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}


def task_manager() -> "TaskManager":
    """lm-eval's index of the tasks of FAMILIES. Raises UserError where lm-eval is not installed."""
    try:
        import lm_eval
    except ImportError as error:
        raise UserError('lm_eval is not installed; pip install -e ".[public]"') from error
    import lm_eval.tasks

    folder = Path(str(lm_eval.tasks.__file__)).parent
    return lm_eval.tasks.TaskManager(include_path=[folder / name for name in FAMILIES], include_defaults=False)


def single_tasks(manager: "TaskManager", names: Sequence[str]) -> list[str]:
    """Names of the tasks that `names` (tasks, groups, tags) stand for, each once. Raises UserError for an unknown name."""
    found: dict[str, None] = {}
    for name in names:
        if name not in manager.task_index:
            near = difflib.get_close_matches(name, manager.all_tasks, n=5) or FAMILIES
            raise UserError(f"unknown public task {name!r}; near it are {', '.join(near)}")
        entry = manager.task_index[name]
        if entry.kind.name == "GROUP":
            found |= dict.fromkeys(single_tasks(manager, entry.cfg["task"]))
        else:
            found |= dict.fromkeys(sorted(entry.tags) if entry.kind.name == "TAG" else [name])
    return list(found)


def load_tasks(manager: "TaskManager", names: Sequence[str], *, data: Path | None, cache: Path) -> tuple["TaskDict", dict[str, str]]:
    """lm-eval's task objects of `names`, and for each the hash of the files it reads (none from the hub).

    `data` holds <data set>/<configuration>/<split>.jsonl (or .csv, .parquet); what `datasets` makes of them goes to `cache`.
    Raises UserError for a file that is missing, empty or without a column, and where the hub cannot be reached.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    hashes: dict[str, str] = {}
    for name in single_tasks(manager, names):
        entry = manager.task_index[name]
        config = load_yaml(entry.yaml_path)
        if config["output_type"] == "multiple_choice":  # their f1 is the task's own; the flag loads a script from the hub for nothing
            config["metric_list"] = [{k: v for k, v in metric.items() if k != "hf_evaluate"} for metric in config["metric_list"]]
        if data is not None:
            files = _files(name, config, data)
            hashes[name] = hashlib.sha256("".join(sha256_of(path) for path in files.values()).encode()).hexdigest()
            config |= {
                "dataset_path": _BUILDERS[next(iter(files.values())).suffix], "dataset_name": None,
                "dataset_kwargs": {"data_files": {split: str(path) for split, path in files.items()}, "cache_dir": str(cache)},
            }  # fmt: skip
        manager.task_index[name] = replace(entry, yaml_path=None, cfg=config)
    return _load(manager, names, data), hashes


def _load(manager: "TaskManager", names: Sequence[str], data: Path | None) -> "TaskDict":
    import datasets

    datasets.disable_progress_bars()
    try:
        return manager.load(list(dict.fromkeys(names)))
    except ConnectionError as error:
        raise UserError(f"{', '.join(names)}: {error}; give local files with data, or connect and unset HF_HUB_OFFLINE") from error
    except (datasets.exceptions.DatasetsError, ValueError) as error:
        raise UserError(f"{data or 'hub'}: {', '.join(names)} cannot be read ({' '.join(str(error).split())})") from error


def _splits(config: Mapping[str, Any]) -> list[str]:
    """The split that is asked, and the one that examples are drawn from, which lm-eval opens even when it draws none."""
    shown = config.get("fewshot_config") or {}
    examples = shown.get("split") or config.get("fewshot_split")
    if not examples and "samples" not in shown:
        examples = config.get("training_split") or config.get("validation_split")
    asked = config.get("test_split") or config.get("validation_split")
    return list(dict.fromkeys(str(split) for split in (asked, examples) if split))


def _files(task: str, config: Mapping[str, Any], data: Path) -> dict[str, Path]:
    """File of each split, all of one kind, looked into."""
    folder = data / str(config["dataset_path"]).rpartition("/")[2] / str(config.get("dataset_name") or "")
    files: dict[str, Path] = {}
    for split in _splits(config):
        found = [path for suffix in _BUILDERS if (path := folder / f"{split}{suffix}").is_file()]
        if len(found) != 1:
            seen = " and ".join(path.name for path in found) or "none"
            raise UserError(f"{folder / split}.jsonl: {task} wants one file of this name, or .csv or .parquet; found {seen}")
        files[split] = found[0]
        _check(found[0], task, config)
    if len({path.suffix for path in files.values()}) != 1:
        raise UserError(f"{folder}: {' and '.join(path.name for path in files.values())}; the splits of {task} must be files of one kind")
    return files


def _check(path: Path, task: str, config: Mapping[str, Any]) -> None:
    """UserError when a file has no rows, a column that the prompts read is missing, or one that they name is not filled everywhere."""
    from jinja2 import Environment, UndefinedError, meta

    table = _table(path) if path.stat().st_size else None
    if table is None or not table.num_rows:
        raise UserError(f"{path}: no items; {task} needs at least one")
    row, parts = table.slice(0, 1).to_pylist()[0], [config.get(key) for key in ("doc_to_text", "doc_to_target", "doc_to_choice")]
    try:
        _read(row, parts, config.get("process_docs"))
    except (KeyError, UndefinedError) as error:
        has = ", ".join(table.column_names)
        raise UserError(f"{path}: {task} reads a column that is not there ({error}); it has {has}") from error
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: {task} cannot read the first row ({error}); use the published file's columns and types") from error
    named = {name for part in parts if isinstance(part, str) for name in meta.find_undeclared_variables(Environment().parse(part))}
    for column in sorted(named & set(table.column_names)):
        if empty := table[column].null_count:
            raise UserError(f"{path}: column {column!r} is empty in {empty} of {table.num_rows} rows; fill or drop them")


def _read(row: dict[str, Any], parts: Sequence[Any], process: Any) -> None:
    """What lm-eval does to a row before it asks."""
    from datasets import Dataset
    from lm_eval.utils import apply_template

    if process:
        row = process(Dataset.from_list([row]))[0]
    for part in parts:
        if callable(part):
            part(row)
        elif isinstance(part, str):
            apply_template(part, row)


def _table(path: Path) -> Any:
    """A pyarrow table of the file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.csv  # type: ignore[import-untyped]
    import pyarrow.json  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        if path.suffix == ".jsonl":
            return pa.json.read_json(path)
        if path.suffix == ".csv":
            return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True))
        return pa.parquet.read_table(path)
    except pa.ArrowException as error:
        raise UserError(f"{path}: not readable as {path.suffix[1:]} ({' '.join(str(error).split())}); write it again") from error
