"""Terminology dictionary, knowledge graph, and retrieval of facts for a question."""
