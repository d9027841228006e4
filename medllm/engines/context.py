"""How many tokens a model takes at once."""

import json
from pathlib import Path

from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE

_LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")  # where lm-eval looks, in this order


def context_length(folder: Path) -> int:
    """Tokens that the model of a folder was made for. Raises UserError where the folder does not say."""
    if (folder / GGUF_FILE).is_file():
        from gguf import GGUFReader

        reader = GGUFReader(folder / GGUF_FILE)
        architecture = reader.get_field("general.architecture")
        field = reader.get_field(f"{architecture.contents() if architecture else ''}.context_length")
        if field is None:
            raise UserError(f"{folder / GGUF_FILE}: no context_length; write it again with quantize")
        return int(field.contents())
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{folder}: neither model.gguf nor config.json; expected a model folder")
    config = json.loads(path.read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    for key in _LENGTHS:
        if config.get(key):
            return int(config[key])
    raise UserError(f"{path}: none of {', '.join(_LENGTHS)}; it must say how long a text may be")
