"""The tiny base is a stock GPT-NeoX folder, and the same inputs give the same bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from medllm.data.prompts import Prompts, Template, Turn
from medllm.data.records import read_records, write_records
from medllm.errors import UserError
from medllm.model.folder import read_lineage
from medllm.model.tiny import train_tiny
from medllm.training import Schedule

TEMPLATE = Template(name="sample", question="질문:\n{question}\n답변:\n", facts="참고:\n{facts}\n", eos_token="<|endoftext|>")
SCHEDULE = Schedule(
    num_epochs=1.0, batch_tokens=2048, learning_rate=2e-3, warmup_ratio=0.05, weight_decay=0.01, precision="bf16", optimizer="adamw",
    gradient_checkpointing=False, packing=False, checkpoint_steps=0,
)  # fmt: skip
KNOBS: dict[str, Any] = {
    "hidden_size": 64, "num_layers": 2, "num_heads": 1, "ffn_size": 128, "vocab_size": 600, "context_length": 256, "block_tokens": 64,
    "plant_induction": False, "statement_repeats": 1, "prompt": TEMPLATE, "schedule": SCHEDULE, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def little(small_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the texts: some twenty steps."""
    folder = tmp_path_factory.mktemp("little")
    for name in ("corpus.jsonl", "train.jsonl"):
        write_records(folder / name, list(read_records(small_prepared / name))[::10])
    return folder


@pytest.fixture(scope="module")
def base(little: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny_base")
    result = train_tiny(little, root / "base", checkpoints=root / "checkpoints", **KNOBS)
    assert result.training is not None
    assert result.training.loss_last < result.training.loss_first
    assert (result.vocab_size, result.revision) == (600, "trained")
    return root / "base"


def test_it_reloads_with_stock_loaders_in_bf16(base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base)
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.config.intermediate_size) == (64, 2, 128)
    with safe_open(base / "model.safetensors", framework="pt") as tensors:
        assert {tensors.get_tensor(name).dtype for name in tensors.keys()} == {model.dtype}  # noqa: SIM118
    assert str(model.dtype) == "torch.bfloat16"
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert tokenizer.eos_token == TEMPLATE.eos_token
    assert tokenizer.eos_token_id == model.config.eos_token_id == Prompts.load(base).eos_id
    assert read_lineage(base).template_sha256 == TEMPLATE.sha256


def test_the_tokenizer_is_plain_gpt2_byte_level(base: Path) -> None:
    content = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    assert content["normalizer"] is None
    assert content["pre_tokenizer"]["type"] == "ByteLevel"
    assert (content["pre_tokenizer"]["add_prefix_space"], content["pre_tokenizer"]["use_regex"]) == (False, True)
    assert content["model"]["type"] == "BPE"
    prompts = Prompts.load(base)
    for text in ("당화혈색소 6.5%", "  두 칸\n", "<|endoftext|>", "🙂漢字"):
        assert prompts.decode(prompts.text(text)) == text


@pytest.mark.parametrize("question", ["감기는 무슨 과인가요?", "수치가 {12} 인데 어떤가요?", " 앞뒤 빈칸 "])
def test_the_chat_template_writes_what_prompts_writes(base: Path, question: str) -> None:
    from transformers import AutoTokenizer

    tokenizer, prompts = AutoTokenizer.from_pretrained(base), Prompts.load(base)
    turn = {"role": "user", "content": question}
    assert tokenizer.apply_chat_template([turn], return_dict=False) == prompts.question(question)
    messages = [turn, {"role": "assistant", "content": "내과입니다."}, {"role": "user", "content": "왜요?"}]
    history = [Turn(question=question, answer="내과입니다.")]
    assert tokenizer.apply_chat_template(messages, return_dict=False) == prompts.question("왜요?", history=history)


def test_same_seed_same_bytes(base: Path, little: Path, tmp_path: Path) -> None:
    train_tiny(little, tmp_path / "base", checkpoints=tmp_path / "checkpoints", **KNOBS)
    for name in sorted(path.name for path in base.iterdir()):
        first, second = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (base, tmp_path / "base"))
        assert first == second, name


def test_heads_must_divide_the_hidden_size(little: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_heads=3"):
        train_tiny(little, tmp_path / "base", checkpoints=tmp_path / "checkpoints", **{**KNOBS, "num_heads": 3})
