"""Offline A/B test of two models that answered the same questions: python -m pipeline.ab a=<arm> b=<arm> [ab.margin=0.01 ...].

An arm is a model of this workspace (teacher_gguf_f16), a predictions file (other/student.jsonl), or <experiment or git revision>:<model>,
which `dvc get` takes out of DVC's cache; quote a ~ twice, for the shell and for Hydra: 'b="HEAD~1:student"'.
"""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.utils import call
from omegaconf import DictConfig

from medllm.ab.table import table
from medllm.errors import UserError
from pipeline.arm import arm_file, arm_label
from pipeline.entry import entrypoint
from pipeline.layout import output_root
from pipeline.record import write_json


@entrypoint
def main(cfg: DictConfig) -> None:
    """Two predictions files -> adhoc/ab/<a>_vs_<b>.json and a table."""
    for name in ("a", "b"):
        if not cfg[name]:
            raise UserError(f"{name}= is missing; call python -m pipeline.ab a=<model, file.jsonl or revision:model> b=<the same>")
    with ExitStack() as stack:
        a, b = (arm_file(cfg[name], Path(stack.enter_context(TemporaryDirectory()))) for name in ("a", "b"))
        result = call(cfg.ab, a, b, seed=cfg.seed, _convert_="all")
    path = output_root() / "ab" / f"{arm_label(cfg.a)}_vs_{arm_label(cfg.b)}.json"
    write_json(path, {"a": arm_label(cfg.a), "b": arm_label(cfg.b), **result})
    print(*table(result), f"{path} written", sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
