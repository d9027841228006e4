"""The exact shape of a published model with random weights: for size, speed and memory without a download. Its answers mean nothing."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medllm.data.prompts import Prompts
from medllm.errors import UserError
from medllm.model.folder import Lineage, copy_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

_STANDARD_DEVIATION = 0.02  # initializer_range of all three architectures
_ROPE_BASE = 10000.0
_CLASSES = {"gpt_neox": "GPTNeoXForCausalLM", "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a decoder. `vocab_size` are embedding rows (the tokenizer may have fewer), `rotary_share` the rotated part of a head."""

    architecture: Literal["gpt_neox", "llama", "qwen3"]
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    ffn_size: int
    vocab_size: int
    context_length: int
    rotary_share: float
    tied: bool


def write_random(target: Path, *, shape: Shape, tokenizer_from: Path, seed: int) -> int:
    """Write a model folder of this shape, bf16, with the tokenizer of the folder `tokenizer_from`; the number of parameters.

    Holds one shard (2 GiB) in memory whatever the size. UserError: impossible shape, or more tokens than rows.
    """
    import torch

    from medllm.model.shards import write_shards
    from medllm.model.skeleton import stored_parameters

    _check(shape)
    prompts = Prompts.load(tokenizer_from)
    check_tokens(prompts, rows=shape.vocab_size, where=tokenizer_from)
    config = config_of(shape, prompts)
    tensors = stored_parameters(config)
    numbers = {name: number for number, name in enumerate(sorted(tensors))}
    write_shards(tensors, target, read=lambda name: _drawn(name, tensors[name], seed=seed * len(numbers) + numbers[name]))
    config.dtype = torch.bfloat16
    config.architectures = [_CLASSES[shape.architecture]]
    config.save_pretrained(target)
    if tokenizer_from != target:
        copy_tokenizer(tokenizer_from, target)
    Lineage(
        name=target.name, parent=None, step="fetch_base", method="random", template_sha256=prompts.template.sha256,
        params={**asdict(shape), "seed": seed}, notes={"random_weights": True},
    ).save(target)  # fmt: skip
    return sum(tensor.numel() for tensor in tensors.values())


def check_tokens(prompts: Prompts, *, rows: int, where: Path) -> None:
    """UserError when a token id has no row in the embedding. Fewer tokens than rows are legal: the rest is padding."""
    tokens = max(prompts.tokenizer.get_vocab().values()) + 1
    if tokens > rows:
        raise UserError(f"{where}: the tokenizer has {tokens} tokens, the embedding only {rows}; give the tokenizer of this model")


def _check(shape: Shape) -> None:
    if shape.num_heads % shape.num_kv_heads:
        raise UserError(f"model.shape: num_heads={shape.num_heads} is not a multiple of num_kv_heads={shape.num_kv_heads}; correct one")
    width = shape.num_heads * shape.head_size
    if shape.architecture == "gpt_neox" and (width != shape.hidden_size or shape.num_kv_heads != shape.num_heads):
        raise UserError("model.shape: in gpt_neox hidden_size is num_heads * head_size, and num_kv_heads is num_heads; correct them")


def config_of(shape: Shape, prompts: Prompts) -> Any:
    """The transformers config of a shape, with the end token of `prompts`."""
    from transformers import AutoConfig

    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": _ROPE_BASE}
    own: dict[str, Any] = {"num_key_value_heads": shape.num_kv_heads, "head_dim": shape.head_size}
    if shape.architecture == "gpt_neox":
        rope["partial_rotary_factor"] = shape.rotary_share
        own = {"use_parallel_residual": True}
    return AutoConfig.for_model(
        shape.architecture, vocab_size=shape.vocab_size, hidden_size=shape.hidden_size, num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, max_position_embeddings=shape.context_length,
        tie_word_embeddings=shape.tied, bos_token_id=prompts.eos_id, eos_token_id=prompts.eos_id, pad_token_id=prompts.eos_id,
        rope_parameters=rope, **own,
    )  # fmt: skip


def _drawn(name: str, like: "Tensor", *, seed: int) -> "Tensor":
    """Matrices from a normal distribution, norm weights 1, biases 0; a seed for each tensor, so that shards do not matter."""
    import torch

    if like.ndim == 1:
        return torch.full(like.shape, float(name.endswith("weight")), dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(like.shape).normal_(0.0, _STANDARD_DEVIATION, generator=generator).to(torch.bfloat16)
