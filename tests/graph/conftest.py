"""The retriever of the real tables, built once."""

import pytest

from medllm.graph.retrieve import Retriever
from medllm.graph.store import Graph


@pytest.fixture(scope="session")
def whole_retriever(whole_graph: Graph) -> Retriever:
    return Retriever(whole_graph)
