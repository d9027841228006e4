"""One model in one backend: python -m pipeline.quantize source=student target=student_gguf_q8_0 node=gguf_q8_0."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from medllm.model.folder import Lineage, read_lineage
from pipeline.entry import entrypoint, wired
from pipeline.layout import PREPARED, model_dir, target_dir
from pipeline.record import flat, recorded


def write_backend(cfg: DictConfig, *, metrics_name: str) -> None:
    """artifacts/models/<source> -> artifacts/models/<target>, for this stage and for the peers."""
    wired(cfg, "node", "source", "target")
    node = cfg.quantize[cfg.node]
    with recorded(metrics_name) as metrics, replaced_folder(target_dir(cfg.target)) as folder:
        result = call(node, model_dir(cfg.source), PREPARED, folder)
        metrics |= flat(result)
        Lineage(
            name=cfg.target, parent=cfg.source, step="quantize", method=cfg.node, params={"scheme": result.scheme},
            template_sha256=read_lineage(model_dir(cfg.source)).template_sha256, notes={"fallbacks": list(result.fallbacks)},
        ).save(folder)  # fmt: skip


@entrypoint
def main(cfg: DictConfig) -> None:
    """One of the rows that every run has, with the knobs of quantize.<node>."""
    write_backend(cfg, metrics_name=f"quantize/{cfg.target}")


if __name__ == "__main__":
    main()
