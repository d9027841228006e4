"""Terminology dictionary and knowledge graph from data/knowledge, and how far training text, review and a second reader go with it."""

from hydra.utils import call
from omegaconf import DictConfig

from medllm.data.atomic import replaced_folder
from medllm.data.knowledge import load_knowledge
from medllm.data.knowledge.agreement import agreement
from medllm.data.sample.forms import statement
from medllm.graph.coverage import term_coverage
from medllm.graph.store import Graph
from pipeline.entry import entrypoint
from pipeline.layout import KNOWLEDGE, output_root, prepared_dir
from pipeline.record import recorded


@entrypoint
def main(cfg: DictConfig) -> None:
    """data/knowledge, data/prepared -> artifacts/graph."""
    knowledge = load_knowledge(KNOWLEDGE)
    with recorded("build_graph") as metrics, replaced_folder(output_root() / "graph") as folder:
        metrics |= call(cfg.graph, knowledge, folder, statement=statement)
        metrics["term_coverage"] = term_coverage(Graph.load(folder), prepared_dir())
        metrics["reviewed"] = knowledge.reviewed()
        metrics["sources_by_type"] = knowledge.sources_by_type()
        metrics["agreement"] = agreement(KNOWLEDGE)


if __name__ == "__main__":
    main()
