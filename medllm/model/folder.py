"""Every model is a folder: weights (safetensors or one GGUF), tokenizer, prompt.json and lineage.json."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medllm.data.prompts import PROMPT_FILE
from medllm.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LINEAGE_FILE = "lineage.json"
GGUF_FILE = "model.gguf"
PRUNE_MAP_FILE = "prune_map.json"  # which layers and channels of the model it was cut from a pruned one has
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", PROMPT_FILE)
_WEIGHTS = ("*.safetensors", "*.gguf", "openvino_model.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a model comes from. `params` are the knobs of the step, `data_sha256` the hash of what it was trained on."""

    name: str
    parent: str | None
    step: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    data_sha256: str = ""
    template_sha256: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write lineage.json; no timestamps, so that equal inputs give equal bytes."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2, sort_keys=True)
        (folder / LINEAGE_FILE).write_text(text + "\n", encoding="utf-8")


def read_lineage(folder: Path) -> Lineage:
    """Read lineage.json of a model folder."""
    path = folder / LINEAGE_FILE
    if not path.is_file():
        raise UserError(f"{path}: missing; {folder} is not a medllm model folder")
    return Lineage(**json.loads(path.read_text(encoding="utf-8")))


def sha256_of(path: Path) -> str:
    """Hash of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_quantized(source: Path, *, verb: str) -> None:
    """UserError when the weights at `source` are quantised already: whole weights are wanted of a model that is to be `verb`."""
    config, scheme = source / "config.json", ""
    if config.is_file():
        try:
            content = json.loads(config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{config}: not JSON ({error}); expected the config.json of a Hugging Face model") from error
        scheme = str((content.get("quantization_config") or {}).get("quant_method", ""))
    elif (source / GGUF_FILE).is_file():
        scheme = "GGUF"
    if scheme:
        parent = read_lineage(source).parent if (source / LINEAGE_FILE).is_file() else None
        instead = f"{parent}, which it was made from" if parent else "the model it was made from"
        raise UserError(f"{source}: already quantised ({scheme}), so it cannot be {verb}; take {instead}")


def model_sha256(folder: Path) -> str:
    """Hash over configuration and weights of a Hugging Face folder: equal for models that answer alike."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        digest.update(sha256_of(path).encode())
    return digest.hexdigest()


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy tokenizer and prompt template unchanged from one model folder to another."""
    target.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if not (target / "tokenizer.json").is_file():
        raise UserError(f"{source}: no tokenizer.json; a model folder needs its tokenizer beside the weights")


def copy_prune_map(source: Path, target: Path) -> None:
    """Hand on what a distillation that follows finds the teacher's layers and channels by; a model that was never pruned has none."""
    if (source / PRUNE_MAP_FILE).is_file():
        shutil.copyfile(source / PRUNE_MAP_FILE, target / PRUNE_MAP_FILE)


def weight_bytes(folder: Path) -> int:
    """Bytes of the weight files, as a user would download them."""
    return sum(path.stat().st_size for pattern in _WEIGHTS for path in folder.glob(pattern))


def model_bytes(folder: Path) -> int:
    """Bytes that a deployment needs: weights + tokenizer."""
    return weight_bytes(folder) + (folder / "tokenizer.json").stat().st_size


def load_model(folder: Path, *, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """Load with stock `AutoModelForCausalLM`, eval mode, in `dtype` (float32 unless told)."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; expected a Hugging Face model folder")
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or torch.float32)
    loaded: PreTrainedModel = model.eval()
    return loaded


def save_model(model: "PreTrainedModel", target: Path, *, tokenizer_from: Path, lineage: Lineage) -> None:
    """Save weights once in bf16 safetensors, with the tokenizer of `tokenizer_from` and the lineage."""
    import torch

    target.mkdir(parents=True, exist_ok=True)
    stored: Any = model
    stored.to(torch.bfloat16).save_pretrained(target)
    if tokenizer_from != target:
        copy_tokenizer(tokenizer_from, target)
    lineage.save(target)
