"""Score one model by the protocol: python -m pipeline.evaluate source=student_gguf_q8_0."""

from hydra.utils import call
from omegaconf import DictConfig

from pipeline.entry import entrypoint, wired
from pipeline.layout import ARTIFACTS, EVALUATION, PREPARED, model_dir, output_root
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> -> metrics/evaluate/<source>.json, predictions/<source>.jsonl and screens/<source>.npy."""
    wired(cfg, "source")
    with recorded(f"evaluate/{cfg.source}") as metrics:
        metrics |= call(
            cfg.evaluate, model_dir(cfg.source), PREPARED, ARTIFACTS / "graph", EVALUATION, output_root() / "predictions",
            output_root() / "screens", metric_prefix=cfg.data.metric_prefix, threads=cfg.threads, _convert_="all",
        )  # fmt: skip


if __name__ == "__main__":
    main()
