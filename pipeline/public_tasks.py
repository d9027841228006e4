"""Public Korean tasks by lm-eval: python -m pipeline.public_tasks --model student_gguf_q4_0 --tasks kormedmcqa kmmlu [--data folder].

Tasks are those of lm-eval: kormedmcqa, kmmlu, kobest, haerae, or single ones like kormedmcqa_doctor. Their data come from the hub, or
from <data>/<data set>/<configuration>/<split>.jsonl (.csv, .parquet), e.g. <data>/KorMedMCQA/doctor/test.parquet. Writes
<out>/<date>-public-<model>.json after every single task; the same command goes on with it, over midnight too. No item is written.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from medllm.benchmark.device import device_name
from medllm.engines import Engine
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE, model_sha256, sha256_of
from medllm.public_tasks.local_data import single_tasks, task_manager
from medllm.public_tasks.run import open_whole, run_public
from pipeline.layout import PUBLIC, model_dir
from pipeline.messages import one_line_errors
from pipeline.record import read_json, write_json

_NOTE = "KorMedMCQA is CC BY-NC: evaluation only, never training data. No text of an item or an answer is kept here."
_SEED = 1234  # lm-eval's own: published few-shot numbers drew their examples with it


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; python -m pipeline.public_tasks --help lists the options")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m pipeline.public_tasks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model of artifacts/models, or a folder")
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks, groups or tags of lm-eval")
    parser.add_argument("--data", type=Path, help="local files (the hub)")
    parser.add_argument("--limit", type=int, help="items of each task (all)")
    parser.add_argument("--num-fewshot", type=int, help="examples before each question (what the task says)")
    parser.add_argument("--chat", action="store_true", help="prompts in the template of the model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("bf16", "fp32"), help="of a plain Hugging Face folder (bf16)")
    parser.add_argument("--seed", type=int, default=_SEED, help="draws the examples")
    parser.add_argument("--out", type=Path, default=PUBLIC)
    parser.add_argument("--date", type=date.fromisoformat, default=date.today(), help="YYYY-MM-DD, in the name of a new result")
    return parser.parse_args(words)


def _say(text: str) -> None:
    print(f"public_tasks: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _conditions(given: argparse.Namespace, folder: Path, engine: Engine) -> dict[str, Any]:
    """What a number depends on; tasks of one file were all measured under it."""
    gguf = folder / GGUF_FILE
    return {
        "model": folder.name, "model_sha256": sha256_of(gguf) if gguf.is_file() else model_sha256(folder), "engine": engine.name,
        "dtype": engine.dtype, "device": device_name(threads=engine.threads), "lm_eval": version("lm_eval"), "limit": given.limit,
        "num_fewshot": given.num_fewshot, "chat_template": given.chat, "seed": given.seed, "data": "local files" if given.data else "hub",
    }  # fmt: skip


def _results_file(out: Path, conditions: dict[str, Any], today: date) -> Path:
    """The newest file of these conditions, else a new one of today: a number beside the first where conditions differ."""
    paths = sorted(out.glob(f"*-public-{conditions['model']}*.json"), reverse=True)
    for path in paths:
        if read_json(path)["conditions"] == conditions:
            return path
    stem, taken = f"{today.isoformat()}-public-{conditions['model']}", {path.stem for path in paths}
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 2))]
    return out / f"{next(name for name in names if name not in taken)}.json"


def public_tasks(given: argparse.Namespace) -> Path:
    """Run the tasks that the results file does not have yet; returns the file."""
    folder = Path(given.model) if Path(given.model).is_dir() else model_dir(given.model)
    wanted = single_tasks(task_manager(), given.tasks)
    engine = open_whole(folder, threads=given.threads, dtype=given.dtype)
    conditions = _conditions(given, folder, engine)
    path = _results_file(given.out, conditions, given.date)
    content: dict[str, Any] = read_json(path) if path.is_file() else {"conditions": conditions, "note": _NOTE, "tasks": {}, "metrics": {}}
    kept = [name for name in wanted if name in content["tasks"]]
    _say(f"{len(wanted)} tasks" + (f", {len(kept)} of them in {path} already" if kept else ""))

    def done(name: str, row: dict[str, Any]) -> None:
        content["tasks"][name] = row
        write_json(path, content)
        _say(f"{name} done, {sum(task in content['tasks'] for task in wanted)} of {len(wanted)}")

    content["metrics"] |= run_public(
        folder, engine=engine, tasks=given.tasks, data=given.data, limit=given.limit, num_fewshot=given.num_fewshot, chat=given.chat,
        seed=given.seed, finished=content["tasks"], on_task=done,
    )  # fmt: skip
    engine.close()
    write_json(path, content)
    _say(f"{path} written")
    return path


def main() -> None:
    """Run one command line."""
    with one_line_errors(UserError, OSError, interrupted="finished tasks are kept, run the same command again"):
        public_tasks(_arguments(sys.argv[1:]))


if __name__ == "__main__":
    main()
