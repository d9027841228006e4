"""Paired comparison of all models, gates, targets and the champion: python -m pipeline.compare."""

from hydra.utils import call
from omegaconf import DictConfig

from pipeline.entry import entrypoint
from pipeline.layout import ARTIFACTS, METRICS, PREDICTIONS
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """metrics/{evaluate,benchmark}, predictions, lineage -> metrics/compare.json."""
    with recorded("compare") as metrics:
        metrics |= call(
            cfg.compare, list(cfg.models), metrics=METRICS, predictions=PREDICTIONS, models_folder=ARTIFACTS / "models",
            seed=cfg.seed, _convert_="all",
        )  # fmt: skip


if __name__ == "__main__":
    main()
