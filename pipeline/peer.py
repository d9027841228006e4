"""A model in the engine of a peer: python -m pipeline.peer source=student target=student_openvino_f16 node=openvino_f16."""

from omegaconf import DictConfig

from pipeline.entry import entrypoint
from pipeline.quantize import write_backend


@entrypoint
def main(cfg: DictConfig) -> None:
    """artifacts/models/<source> -> artifacts/models/<target>, with the knobs of quantize.<node>."""
    write_backend(cfg, metrics_name=f"peer/{cfg.target}")


if __name__ == "__main__":
    main()
