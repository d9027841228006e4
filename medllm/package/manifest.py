"""Build the folder that a service loads, with the sha256 of every file in it."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.engines import open_engine
from medllm.engines.llamacpp_engine import LlamaCppEngine
from medllm.model.folder import GGUF_FILE, read_lineage
from medllm.package.tokenizer_check import check_tokenizers

TOKENIZER_LINES = 10_000
INTENDED_USE = "일반 건강정보 제공과 진료과 안내를 위한 것이며, 진단이나 처방을 하지 않습니다. 전문의의 검수를 받지 않았습니다."


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def build_package(
    champion: Path, out: Path, *, training_folder: Path, graph: Path, redflags: Path, prepared: Path, metrics: Mapping[str, Any], threads: int,
    seed: int, mode: str,
) -> dict[str, Any]:  # fmt: skip
    """Copy the champion, graph and rules into `out` (an empty folder) and write manifest.json; returns it.

    RuntimeError when llama.cpp tokenizes any of 10,000 lines differently from the tokenizer the model was trained with (`training_folder`).
    """
    model = out / "model"
    model.mkdir()
    for name in (GGUF_FILE, "tokenizer.json", "tokenizer_config.json", "prompt.json", "lineage.json"):
        shutil.copyfile(champion / name, model / name)
    shutil.copyfile(graph / "graph.json", out / "graph.json")
    shutil.copyfile(redflags, out / "redflags.csv")
    records = [*read_records(prepared / "train.jsonl"), *read_records(prepared / "test.jsonl")]
    texts = sorted({text for record in records for text in (record.question, record.answer) if text})
    engine = open_engine(model, threads=threads)
    assert isinstance(engine, LlamaCppEngine)
    compared = check_tokenizers(Prompts.load(training_folder).text, engine.tokenize, texts, count=TOKENIZER_LINES, seed=seed)
    engine.close()
    prompts = Prompts.load(model)
    manifest = {
        "name": champion.name, "mode": mode, "grounded": False, "intended_use": INTENDED_USE, "reviewed_by_clinician": False,
        "lineage": json.loads((champion / "lineage.json").read_text(encoding="utf-8")), "base": read_lineage(training_folder).name,
        "template_sha256": prompts.template.sha256, "tokenizer_lines_compared": compared, "metrics": dict(metrics),
        "training_sets": sorted({record.dataset for record in records}), "data_licences": sorted({record.licence for record in records if record.licence}),
        "files": {path.relative_to(out).as_posix(): sha256_of(path) for path in sorted(out.rglob("*")) if path.is_file()},
    }  # fmt: skip
    text = json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True)
    (out / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest
