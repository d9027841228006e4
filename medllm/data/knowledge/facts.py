"""All tables together, and the single facts that they state."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from medllm.data.knowledge.tables import Department, Disease, Drug, KcdCode, MedicalTest, RedFlagRow, Source, Symptom, Term

Relation = Literal[
    "department", "symptom", "test", "symptom_department", "drug_class", "test_purpose", "procedure_purpose", "term"
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One statement of a table row; `subject` and `object` are Korean display names, `id` is "relation:row id"."""

    id: str
    relation: Relation
    subject: str
    object: str
    subject_type: str
    object_type: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """All tables, each a mapping from row id to row in file order."""

    sources: Mapping[str, Source]
    departments: Mapping[str, Department]
    symptoms: Mapping[str, Symptom]
    tests: Mapping[str, MedicalTest]
    drugs: Mapping[str, Drug]
    kcd: Mapping[str, KcdCode]
    diseases: Mapping[str, Disease]
    terms: Mapping[str, Term]
    redflags: Mapping[str, RedFlagRow]

    def facts(self) -> list[Fact]:
        """Every fact, sorted by id; a subject occurs once within a relation."""
        facts = [*self._disease_facts(), *self._other_facts()]
        return sorted(facts, key=lambda fact: fact.id)

    def reviewed(self) -> dict[str, dict[str, int]]:
        """Rows of every table that carries medical content, and how many of them a clinician has accepted."""
        tables = {field.name: getattr(self, field.name).values() for field in fields(self) if field.name != "sources"}
        return {name: {"rows": len(rows), "reviewed": sum(row.reviewed for row in rows)} for name, rows in tables.items()}

    def sources_by_type(self) -> dict[str, int]:
        """Rows by the type of their source."""
        rows = (row for field in fields(self) if field.name != "sources" for row in getattr(self, field.name).values())
        return dict(sorted(Counter(self.sources[row.source].source_type for row in rows).items()))

    def _disease_facts(self) -> Iterator[Fact]:
        for row in self.diseases.values():
            department = self.departments[row.department].name
            yield _fact("department", row.id, "disease", row.name, "department", department, row.source)
            for symptom in row.symptoms[:1]:
                yield _fact("symptom", row.id, "disease", row.name, "symptom", self.symptoms[symptom].name, row.source)
            for test in row.tests[:1]:
                yield _fact("test", row.id, "disease", row.name, "test", self.tests[test].name, row.source)

    def _other_facts(self) -> Iterator[Fact]:
        for symptom in self.symptoms.values():
            department = self.departments[symptom.department].name
            yield _fact("symptom_department", symptom.id, "symptom", symptom.name, "department", department, symptom.source)
        for drug in self.drugs.values():
            yield _fact("drug_class", drug.id, "drug", drug.name, "drug_class", drug.drug_class, drug.source)
        for test in self.tests.values():
            relation: Relation = "test_purpose" if test.kind == "test" else "procedure_purpose"
            yield _fact(relation, test.id, test.kind, test.name, "purpose", test.purpose, test.source)
        for term in self.terms.values():
            if term.first_lay:
                yield _fact("term", term.id, "lay", term.first_lay, "term", term.standard, term.source)


def _fact(relation: Relation, row_id: str, subject_type: str, subject: str, object_type: str, object_name: str, source: str) -> Fact:
    return Fact(
        id=f"{relation}:{row_id}", relation=relation, subject=subject, object=object_name,
        subject_type=subject_type, object_type=object_type, source=source,
    )  # fmt: skip
