"""Score one model by the protocol: python -m pipeline.evaluate source=student_gguf_q8_0."""

from hydra.utils import call
from omegaconf import DictConfig

from pipeline.entry import entrypoint, wired
from pipeline.layout import PREPARED, model_dir, output_root
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> -> metrics/evaluate/<source>.json and predictions/<source>.jsonl."""
    wired(cfg, "source")
    with recorded(f"evaluate/{cfg.source}") as metrics:
        metrics |= call(
            cfg.evaluate, model_dir(cfg.source), PREPARED, output_root() / "predictions", metric_prefix=cfg.data.metric_prefix,
            threads=cfg.threads,
        )  # fmt: skip


if __name__ == "__main__":
    main()
