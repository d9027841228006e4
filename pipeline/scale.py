"""Size, speed and memory at the true size of a published model, with random weights: python -m pipeline.scale [--shape polyglot_ko_1_3b].

Builds teacher, GGUF files and pruned GGUF files in --work (a later call continues there), measures them in turns, writes
<out>/<date>-scale-<shape>.json, and prints the section that the report makes of it. Quality is not measured: the weights are random.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from medllm.benchmark.scale import check_knobs, run_scale
from medllm.benchmark.scale_models import build, check_room, small_calibration
from medllm.errors import UserError
from medllm.report.markdown import parts_markdown
from medllm.report.scale_part import scale_part
from pipeline.compose import compose
from pipeline.layout import ARTIFACTS, PREPARED
from pipeline.messages import one_line_errors
from pipeline.record import write_json
from pipeline.scale_steps import BASELINE_A, BASELINE_B, MODELS, overrides, steps_of

_WARMUP_ROUNDS = 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; python -m pipeline.scale --help lists the options")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m pipeline.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="polyglot_ko_1_3b", help="conf/model/<shape>.yaml with a shape")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=int, nargs="+", default=[128, 512], help="prompt lengths; the first is answered in full")
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--calibration-records", type=int, default=48, help="records of the calibration set that pruning and K-quants see")
    parser.add_argument("--bandwidth-mib", type=int, default=1024, help="array that the bandwidth probe reads")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="instead of what conf/ says, e.g. prune.ratio=0.3")
    parser.add_argument("--work", type=Path, default=ARTIFACTS / "adhoc" / "scale", help="where the models are built and kept")
    parser.add_argument("--prepared", type=Path, default=PREPARED)
    parser.add_argument("--out", type=Path, default=ARTIFACTS / "results")
    parser.add_argument("--date", type=date.fromisoformat, default=date.today(), help="YYYY-MM-DD, in the name of the result")
    return parser.parse_args(words)


def _say(text: str) -> None:
    print(f"scale: {text}", file=sys.stderr, flush=True)  # noqa: T201


def scale(given: argparse.Namespace) -> Path:
    """Build what is missing, measure, and write the result; returns its file."""
    knobs: dict[str, Any] = {
        "threads": given.threads, "prompt_lengths": given.prompts, "answer_tokens": given.answer_tokens, "rounds": given.rounds,
        "bandwidth_mib": given.bandwidth_mib,
    }  # fmt: skip
    check_knobs(**knobs)
    cfg = compose([*overrides(given.shape), *given.set])
    work = given.work / given.shape
    shape = instantiate(cfg.model.shape)
    small_calibration(given.prepared, work / "prepared", records=given.calibration_records)
    steps = steps_of(cfg, work=work, prepared=given.prepared)
    check_room(work, steps, shape=shape, run=MODELS, probe_bytes=given.bandwidth_mib << 20)
    folders = build(work, steps, on_step=lambda name, kept: _say(f"{name}: {'kept' if kept else 'building'}"))
    result = run_scale(
        {name: folders[name] for name in MODELS}, baseline_a=BASELINE_A, baseline_b=BASELINE_B, warmup_rounds=_WARMUP_ROUNDS,
        seed=cfg.seed, on_round=lambda number: _say(f"round {number} done"), **knobs,
    )  # fmt: skip
    result = {"shape": given.shape, "set": given.set, "date": given.date.isoformat(), **result}
    path: Path = given.out / f"{result['date']}-scale-{given.shape}.json"
    write_json(path, result)
    _say(f"{path} written")
    return path


def main() -> None:
    """Run one command line, and print the section that the report makes of its result."""
    kinds = (UserError, RuntimeError, OSError, InstantiationException)
    with one_line_errors(*kinds, interrupted="finished models are kept, run the same command again"):
        print(parts_markdown("실험", [scale_part(scale(_arguments(sys.argv[1:])))]))  # noqa: T201


if __name__ == "__main__":
    main()
