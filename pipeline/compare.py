"""Paired comparison of all models, gates, targets and the champion: python -m pipeline.compare."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.evaluate.first_messages import FIRST_MESSAGES
from pipeline.entry import entrypoint
from pipeline.layout import ARTIFACTS, EVALUATION, KNOWLEDGE, METRICS, PREDICTIONS, SCREENS
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """metrics/{evaluate,benchmark}, predictions, screens, lineage, red-flag rules -> metrics/compare.json."""
    with recorded("compare") as metrics:
        metrics |= call(
            cfg.compare, list(cfg.models), metrics=METRICS, predictions=PREDICTIONS, screens=SCREENS, models_folder=ARTIFACTS / "models",
            rules=KNOWLEDGE / "redflags.csv", messages=EVALUATION / FIRST_MESSAGES, seed=cfg.seed, _convert_="all",
        )  # fmt: skip


if __name__ == "__main__":
    main()
