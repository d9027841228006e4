"""The hand-written medical tables of data/knowledge: typed rows, checked links, and the facts that they state."""

from medllm.data.knowledge.facts import Fact, Knowledge, Relation
from medllm.data.knowledge.load import load_knowledge
from medllm.data.knowledge.tables import Department, Disease, Drug, KcdCode, MedicalTest, RedFlagRow, Source, Symptom, Term

__all__ = [
    "Department", "Disease", "Drug", "Fact", "KcdCode", "Knowledge", "MedicalTest", "RedFlagRow", "Relation", "Source", "Symptom", "Term",
    "load_knowledge",
]  # fmt: skip
