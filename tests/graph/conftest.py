"""The graph of the real tables, built once."""

from pathlib import Path

import pytest

from medllm.data.knowledge import Knowledge, load_knowledge
from medllm.data.sample.forms import statement
from medllm.graph.build import build_graph
from medllm.graph.store import Graph


@pytest.fixture(scope="session")
def whole_knowledge() -> Knowledge:
    return load_knowledge(Path(__file__).parents[2] / "data" / "knowledge")


@pytest.fixture(scope="session")
def whole_graph(whole_knowledge: Knowledge) -> Graph:
    return build_graph(whole_knowledge, statement=statement)
