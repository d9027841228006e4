"""Archives and tables -> one record schema -> clean, masked, deduplicated, leak-proof splits, and the data report."""

from hydra.utils import call
from omegaconf import DictConfig

from pipeline.entry import entrypoint
from pipeline.layout import RAW, prepared_dir
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """data/raw/<name> -> data/prepared."""
    knobs = {key: value for key, value in cfg.data.items() if key not in ("name", "metric_prefix")}
    with recorded("prepare_data") as metrics:
        metrics |= call(knobs, RAW / cfg.data.name, prepared_dir(), seed=cfg.seed)


if __name__ == "__main__":
    main()
