"""Structured pruning: python -m pipeline.prune source=teacher target=pruned [prune.ratio=0.3]."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from pipeline.entry import entrypoint
from pipeline.layout import PREPARED, model_dir, target_dir
from pipeline.record import flat, recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> -> artifacts/models/<target>."""
    source, target = cfg.source or "teacher", cfg.target or "pruned"
    with recorded("prune") as metrics, replaced_folder(target_dir(target)) as folder:
        metrics |= flat(call(cfg.prune, model_dir(source), PREPARED, folder))


if __name__ == "__main__":
    main()
