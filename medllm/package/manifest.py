"""Build the folder that a service loads, with the sha256 of every file in it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.engines import open_engine
from medllm.engines.llamacpp_engine import LlamaCppEngine
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE, Lineage, read_lineage, sha256_of
from medllm.package.review_gate import DEMO_BANNER, Mode, check_gates, check_review
from medllm.package.tokenizer_check import check_tokenizers

TOKENIZER_LINES = 10_000
INTENDED_USE = "일반 건강정보 제공과 진료과 안내를 위한 것이며, 진단이나 처방을 하지 않습니다."
_TRAINED_HERE = {"train_tiny": "Apache-2.0 (trained here)"}  # methods whose base has no licence of somebody else


def read_chain(champion: Path, *, models_folder: Path) -> list[Lineage]:
    """Lineages from the champion up to its base, parents read from `models_folder`/<name>; UserError on a missing or circular one."""
    chain, names = [read_lineage(champion)], [champion.name]
    while (parent := chain[-1].parent) is not None:
        if parent in names:
            raise UserError(f"{models_folder / parent}: its lineage goes round in a circle; correct lineage.json of that model")
        names.append(parent)
        chain.append(read_lineage(models_folder / parent))
    return chain


def base_licence(base: Lineage) -> str:
    """Licence of a base model; UserError when its lineage names none."""
    licence = _TRAINED_HERE.get(base.method) or base.params.get("licence")
    if not licence:
        raise UserError(f"{base.name}: lineage.json of the base names no licence; set model.licence and run `dvc repro fetch_base`")
    return str(licence)


def _entry(lineage: Lineage) -> dict[str, Any]:
    """As in lineage.json, but a base from a folder of this machine by its name only: manifests are shipped."""
    entry = asdict(lineage)
    source = Path(str(entry["params"].get("source", "")))
    if source.is_absolute():
        entry["params"] = {**entry["params"], "source": source.name}
    return entry


def _grounded(metrics: Mapping[str, Any], minimum: float) -> bool:
    measured = [value for name, value in metrics.items() if name.endswith("accuracy_grounded")]
    return bool(measured) and min(measured) >= minimum


def build_package(
    champion: Path, out: Path, *, models_folder: Path, training_folder: Path, graph: Path, knowledge: Path, prepared: Path,
    metrics: Mapping[str, Any], gates: Sequence[Mapping[str, Any]], threads: int, seed: int, mode: Mode, min_grounded_accuracy: float,
) -> dict[str, Any]:  # fmt: skip
    """Copy the champion, graph and rules into `out` (an empty folder) and write manifest.json; returns it.

    `models_folder` holds the champion's ancestors: their lineages and the licence of the base go into the manifest.
    mode="production" is a UserError while rows that can do harm are unreviewed (medllm.package.review_gate), or a gate of compare.json
    that this model has is not passed; "demo" carries a banner and the verdicts.
    The service puts retrieved facts before a question when the champion has shown, on at least `min_grounded_accuracy` of the questions
    about facts that it never saw, that it answers from them. RuntimeError when llama.cpp tokenizes any of 10,000
    lines differently from the tokenizer the model was trained with (`training_folder`).
    """
    chain = read_chain(champion, models_folder=models_folder)
    licence = base_licence(chain[-1])  # before anything is copied: a model without a licence is not packaged
    verdicts = check_gates(gates, champion.name, mode=mode)
    review = check_review(knowledge, graph, mode=mode)  # nor one that nobody reviewed
    model = out / "model"
    model.mkdir()
    for name in (GGUF_FILE, "tokenizer.json", "tokenizer_config.json", "prompt.json", "lineage.json"):
        shutil.copyfile(champion / name, model / name)
    shutil.copyfile(graph / "graph.json", out / "graph.json")
    shutil.copyfile(knowledge / "redflags.csv", out / "redflags.csv")
    records = [*read_records(prepared / "train.jsonl"), *read_records(prepared / "test.jsonl")]
    texts = sorted({text for record in records for text in (record.question, record.answer) if text})
    engine = open_engine(model, threads=threads)
    assert isinstance(engine, LlamaCppEngine)
    compared = check_tokenizers(Prompts.load(training_folder).text, engine.tokenize, texts, count=TOKENIZER_LINES, seed=seed)
    engine.close()
    prompts = Prompts.load(model)
    manifest = {
        "name": champion.name, "mode": mode, "grounded": _grounded(metrics, min_grounded_accuracy), "intended_use": INTENDED_USE,
        "reviewed_by_clinician": mode == "production", "review": review, "gates": verdicts, "banner": DEMO_BANNER if mode == "demo" else "",
        "chain": [_entry(lineage) for lineage in chain], "base": chain[-1].name, "base_licence": licence,
        "template_sha256": prompts.template.sha256, "tokenizer_lines_compared": compared, "metrics": dict(metrics),
        "training_sets": sorted({record.dataset for record in records}),
        "data_licences": sorted({record.licence for record in records if record.licence}),
        "files": {path.relative_to(out).as_posix(): sha256_of(path) for path in sorted(out.rglob("*")) if path.is_file()},
    }  # fmt: skip
    text = json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True)
    (out / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest
