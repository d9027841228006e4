"""Write the sample from the tables and texts in data/knowledge: archives in AI Hub's own shapes, and chats as JSONL."""

from hydra.utils import call
from omegaconf import DictConfig

from pipeline.entry import entrypoint
from pipeline.layout import KNOWLEDGE, raw_dir
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """data/knowledge -> data/raw/sample."""
    with recorded("make_sample") as metrics:
        metrics |= call(cfg.sample, KNOWLEDGE, raw_dir("sample"), seed=cfg.seed)


if __name__ == "__main__":
    main()
