"""Public Korean tasks (KorMedMCQA, KMMLU, KoBEST, HAE-RAE) by lm-eval on any model folder through our engines.

Prompts, splits, examples and metrics are lm-eval's own (https://github.com/EleutherAI/lm-evaluation-harness), so that numbers
compare with published ones. Nothing of an item is kept: KorMedMCQA is CC BY-NC, for evaluation only.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medllm.engines import Engine, open_engine
from medllm.engines.context import context_length
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE
from medllm.public_tasks.local_data import load_tasks, single_tasks, task_manager

if TYPE_CHECKING:
    from lm_eval.api.task import Task

    from medllm.public_tasks.language_model import EngineLM

Row = dict[str, Any]


def open_whole(folder: Path, *, threads: int, dtype: str | None) -> Engine:
    """The engine of a folder at the model's full context, which the prompts of public tasks need."""
    if dtype is None and threads > 0 and (folder / GGUF_FILE).is_file():
        from medllm.engines.llamacpp_engine import LlamaCppEngine

        return LlamaCppEngine(folder, threads=threads, context=context_length(folder))
    return open_engine(folder, threads=threads, dtype=dtype)


def run_public(
    folder: Path, *, engine: Engine, tasks: Sequence[str], data: Path | None, limit: int | None, num_fewshot: int | None, chat: bool,
    seed: int, finished: Mapping[str, Row], on_task: Callable[[str, Row], None],
) -> Row:  # fmt: skip
    """Flat metrics of tasks, groups or tags: <task>_<metric>, _stderr, _n, _version, _num_fewshot, and what the context cost.

    _truncated counts the requests that lost their start, _max_gen_toks is the length allowed to answers (at most half of the context).
    Data come from local files below `data` (see load_tasks) or from the hub. `limit` items of each task, None for all; `num_fewshot`
    None leaves it to the task; `chat` wraps every prompt in the template of the folder; `seed` draws the examples. `on_task` gets
    each task's row when it is done; tasks in `finished` are not run again, unless their files have changed.
    Raises UserError, see load_tasks.
    """
    if (limit is not None and limit < 1) or (num_fewshot is not None and num_fewshot < 0):
        raise UserError(f"limit={limit}, num_fewshot={num_fewshot}; use 1 or more items, 0 or more examples, or leave them out")
    manager = task_manager()
    from medllm.public_tasks.language_model import EngineLM

    names = single_tasks(manager, tasks)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # its warnings quote items
    with tempfile.TemporaryDirectory(prefix="medllm-") as cache:
        loaded, hashes = load_tasks(manager, tasks, data=data, cache=Path(cache))
        rows = {n: dict(finished[n]) for n in names if n in finished and finished[n].get("data_sha256") == hashes.get(n)}
        for name in names:
            _set_examples(loaded["tasks"][name], num_fewshot, seed)
        model = EngineLM(engine, folder, max_length=context_length(folder))
        for name in names:
            if name not in rows:
                rows[name] = _run(model, name, loaded["tasks"][name], limit=limit, chat=chat)
                rows[name] |= {"data_sha256": hashes[name]} if hashes else {}
                on_task(name, rows[name])
    groups = {group.name: _numbers(group.aggregate(rows)) | {"version": group.version} for group in loaded["groups"].values()}
    return {key: value for name, row in sorted((rows | groups).items()) for key, value in _flat(name, row).items()}


def _set_examples(task: "Task", num_fewshot: int | None, seed: int) -> None:
    """As lm-eval's command line does it: a task that says 0 keeps it."""
    own = task.get_config("num_fewshot")
    count = own if num_fewshot is None or own == 0 else num_fewshot
    available = len(task.sampler.df) - (task.fewshot_cfg.split == task.get_config("test_split")) if count else 0  # never the item itself
    if count and count > available:
        raise UserError(f"{task.task_name}: {count} examples asked for, {available} there; ask for fewer")
    task.set_config("num_fewshot", count or 0)
    task.set_fewshot_seed(seed)


def _run(model: "EngineLM", name: str, task: "Task", *, limit: int | None, chat: bool) -> Row:
    """One task. `evaluate`, not `simple_evaluate`: that takes 5 s each time to describe the machine."""
    from lm_eval.evaluator import evaluate

    model.truncated = model.max_gen_toks = 0
    found = evaluate(
        lm=model, task_dict={"tasks": {name: task}}, limit=limit, log_samples=False, apply_chat_template=chat, fewshot_as_multiturn=chat
    )
    row = _numbers(found["results"][name]) | {"version": found["versions"][name], "num_fewshot": found["n-shot"][name]}
    return row | {"truncated": model.truncated} | ({"max_gen_toks": model.max_gen_toks} if model.max_gen_toks else {})


def _numbers(row: Mapping[str, Any]) -> Row:
    """Without names, and without the errors that lm-eval does not compute ("N/A")."""
    return {key: value for key, value in row.items() if not isinstance(value, str)}


def _flat(name: str, row: Mapping[str, Any]) -> Row:
    """lm-eval's "acc_stderr,none" as <task>_acc_stderr. The filter is left out: each of these tasks has one."""
    return {f"{name}_{'n' if key == 'sample_len' else key.partition(',')[0]}": value for key, value in row.items()}
