"""A short distillation through the rounding of four bits: python -m pipeline.rescue teacher=teacher source=student target=rescued."""

from omegaconf import DictConfig

from pipeline.distill import distil
from pipeline.entry import entrypoint


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> + <teacher> -> artifacts/models/<target>, with the knobs of conf/rescue."""
    distil(cfg, "rescue", cfg.rescue, metrics_name=f"rescue/{cfg.target}", set_source="chain.rescue and rescue.student")


if __name__ == "__main__":
    main()
