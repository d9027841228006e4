"""What the service loads: the champion, the graph, the rules and a manifest: python -m pipeline.package."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from pipeline.entry import entrypoint
from pipeline.layout import ARTIFACTS, KNOWLEDGE, METRICS, PREPARED, model_dir, output_root
from pipeline.record import read_json, recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """champion + graph + rules -> artifacts/package."""
    compared = read_json(METRICS / "compare.json")
    champion = compared["champion"]
    with recorded("package"), replaced_folder(output_root() / "package") as folder:
        call(
            cfg.package, model_dir(champion), folder, models_folder=ARTIFACTS / "models", training_folder=model_dir("teacher"),
            graph=ARTIFACTS / "graph", knowledge=KNOWLEDGE, prepared=PREPARED,
            metrics=read_json(METRICS / "evaluate" / f"{champion}.json"), gates=compared["gates"], threads=cfg.threads, seed=cfg.seed,
        )  # fmt: skip


if __name__ == "__main__":
    main()
