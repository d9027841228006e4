"""A base from a local Hugging Face folder, or from the hub at a pinned revision."""

import json
import shutil
from pathlib import Path
from typing import Any

from medllm.data.prompts import Prompts, Template
from medllm.errors import UserError
from medllm.model.folder import Lineage
from medllm.model.result import FetchResult

_WANTED = ("*.json", "*.safetensors", "*.jinja", "tokenizer*")


def _download(repo: str, revision: str | None) -> tuple[Path, str]:
    """Snapshot folder in the hub's cache, and the commit it is at."""
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(_WANTED)))
    except errors.HFValidationError as error:
        raise UserError(f"model.source={repo!r}: neither a folder on this machine nor a hub name (owner/name); check the path") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError(f"model.source={repo!r} at revision {revision!r}: not on the hub; check both") from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        raise UserError(f"model.source={repo!r}: no local folder, and the hub cannot be reached; download it or give a folder") from error
    return folder, folder.name


def _link(source: Path, target: Path) -> None:
    """Symlink what is large, copy what is small: a base that lies in a cache is not stored twice."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(p for pattern in _WANTED for p in source.glob(pattern)):
        destination = target / path.name
        if destination.exists():
            continue
        if path.suffix == ".safetensors":
            destination.symlink_to(path.resolve())
        else:
            shutil.copyfile(path, destination)


def fetch_pretrained(
    prepared: Path, target: Path, *, source: str, revision: str | None, licence: str, prompt: Template, seed: int, checkpoints: Path,
    on_log: Any = None,
) -> FetchResult:  # fmt: skip
    """Make a model folder out of `source`, a folder on this machine or a hub repository; `prepared`, `seed` and `checkpoints` are not used.

    UserError: no config.json, no tokenizer.json, no safetensors weights (pickled checkpoints are not loaded), hub not reachable.
    """
    del prepared, seed, checkpoints, on_log
    folder, commit = (Path(source), revision or "local") if Path(source).is_dir() else _download(source, revision)
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name}; a base needs config.json, tokenizer.json and *.safetensors in one folder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: no *.safetensors; convert the checkpoint first (pickled weights are not loaded)")
    _link(folder, target)
    prompt.save(target)
    prompts = Prompts.load(target)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokens = prompts.tokenizer.get_vocab_size()
    if tokens > config["vocab_size"]:
        raise UserError(
            f"{folder}: the tokenizer has {tokens} tokens, the embedding only {config['vocab_size']}; give the tokenizer of this model"
        )
    Lineage(
        name=target.name, parent=None, step="fetch_base", method="fetch_pretrained", template_sha256=prompt.sha256,
        params={"source": source, "revision": commit, "licence": licence},
    ).save(target)  # fmt: skip
    return FetchResult(parameters=_parameters(target), vocab_size=int(config["vocab_size"]), revision=commit, training=None)


def _parameters(folder: Path) -> int:
    from safetensors import safe_open

    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                size = 1
                for extent in tensors.get_slice(name).get_shape():
                    size *= extent
                total += size
    return total
