"""Bytes, memory, load, first token and decode of every model, in turns: python -m pipeline.benchmark."""

import sys
from collections.abc import Mapping
from typing import Any

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from pipeline.entry import entrypoint
from pipeline.layout import model_dir, output_root
from pipeline.record import recorded, write_json


def _tell(number: int, samples: Mapping[str, Any]) -> None:
    print(f"benchmark: round {number} over {len(samples)} models", file=sys.stderr, flush=True)  # noqa: T201


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/* -> metrics/benchmark/<model>.json."""
    with recorded("benchmark"), replaced_folder(output_root() / "metrics" / "benchmark") as folder:
        rows = call(
            cfg.benchmark, {name: model_dir(name) for name in cfg.models}, baseline_a=cfg.compare.baseline_a,
            baseline_b=cfg.compare.baseline_b, threads=cfg.threads, seed=cfg.seed, on_round=_tell,
        )  # fmt: skip
        for name, row in rows.items():
            write_json(folder / f"{name}.json", row)


if __name__ == "__main__":
    main()
