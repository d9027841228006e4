"""Small random models of every architecture."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.model.folder import Lineage, copy_tokenizer, load_model, read_lineage


def configs() -> dict[str, Any]:
    from transformers import GPTNeoXConfig, LlamaConfig, Qwen3Config

    shape = {
        "vocab_size": 600, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4, "initializer_range": 0.1,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1, "max_position_embeddings": 512,
    }  # fmt: skip
    return {
        "gpt_neox": GPTNeoXConfig(**shape, hidden_size=256),
        "tied_neox": GPTNeoXConfig(**shape, hidden_size=256, tie_word_embeddings=True),
        "llama": LlamaConfig(**shape, hidden_size=256, num_key_value_heads=2),
        "qwen3": Qwen3Config(**shape, hidden_size=192, num_key_value_heads=2, head_dim=64, tie_word_embeddings=True),
    }


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Callable[[str], Path]:
    """`miniature("llama")`: a random folder of 4 layers, 4 heads of 64 (llama and qwen3: 2 key-value heads), FFN 512. Read-only."""
    from transformers import AutoModelForCausalLM, set_seed

    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            set_seed(3)
            made[kind] = tmp_path_factory.mktemp("miniature") / kind
            AutoModelForCausalLM.from_config(configs()[kind]).save_pretrained(made[kind])
            copy_tokenizer(tiny_folder, made[kind])
            Lineage(name=kind, parent=None, step="test", method="random").save(made[kind])
        return made[kind]

    return make


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[[Path, Callable[[Any], None]], Path]:
    """`rewritten(folder, change)`: a copy of a model folder with changed weights."""
    import torch

    def rewrite(folder: Path, change: Callable[[Any], None]) -> Path:
        model: Any = load_model(folder)
        with torch.no_grad():
            change(model)
        model.to(torch.bfloat16).save_pretrained(tmp_path / "planted")
        copy_tokenizer(folder, tmp_path / "planted")
        read_lineage(folder).save(tmp_path / "planted")
        return tmp_path / "planted"

    return rewrite


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path, small_prepared: Path) -> Path:
    """A GPT-NeoX of two layers that has learned its calibration set by heart: a model in which some channels do more than others."""
    import torch
    from transformers import AutoModelForCausalLM, GPTNeoXConfig, set_seed

    from medllm.calibration import calibration_batches

    set_seed(5)
    folder = tmp_path_factory.mktemp("models") / "learned"
    config = GPTNeoXConfig(vocab_size=600, hidden_size=128, intermediate_size=512, num_hidden_layers=2, num_attention_heads=2)
    model: Any = AutoModelForCausalLM.from_config(config)
    (batch,) = calibration_batches(small_prepared, tiny_tokenizer, batch_rows=64, max_tokens=128)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(40):
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.to(torch.bfloat16).save_pretrained(folder)
    copy_tokenizer(tiny_tokenizer, folder)
    Lineage(name="learned", parent=None, step="test", method="trained").save(folder)
    return folder


def read_map(folder: Path) -> dict[str, list[int]]:
    content: dict[str, list[int]] = json.loads((folder / "prune_map.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def kept_in() -> Callable[[Path], dict[str, list[int]]]:
    """`kept_in(folder)`: its prune_map.json."""
    return read_map
