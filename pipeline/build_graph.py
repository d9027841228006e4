"""Terminology dictionary and knowledge graph from data/knowledge."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from medllm.data.knowledge import load_knowledge
from medllm.data.sample.forms import statement
from pipeline.entry import entrypoint
from pipeline.layout import KNOWLEDGE, output_root
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """data/knowledge -> artifacts/graph."""
    with recorded("build_graph") as metrics, replaced_folder(output_root() / "graph") as folder:
        metrics |= call(cfg.graph, load_knowledge(KNOWLEDGE), folder, statement=statement)


if __name__ == "__main__":
    main()
