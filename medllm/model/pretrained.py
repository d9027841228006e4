"""A base from a local Hugging Face folder, or from the hub at a pinned revision; or its exact shape with random weights."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from medllm.data.prompts import Prompts, Template
from medllm.errors import UserError
from medllm.model.folder import Lineage, read_lineage
from medllm.model.random_weights import Shape, check_tokens, write_random
from medllm.model.result import FetchResult
from medllm.model.tokenizer import tokenizer_texts, train_tokenizer

log = logging.getLogger(__name__)
_WEIGHTS = "model*.safetensors"
_WANTED = ("*.json", _WEIGHTS, "*.jinja", "tokenizer*")
_OLD_WEIGHTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack")


def fetch_pretrained(
    prepared: Path, target: Path, *, source: str, revision: str | None, licence: str, weights: Literal["pretrained", "random"],
    context_length: int, shape: Shape | None, prompt: Template, seed: int, checkpoints: Path, on_log: Any = None,
) -> FetchResult:  # fmt: skip
    """Make a model folder out of `source`, a folder on this machine or a hub repository.

    `weights="random"` takes nothing from `source`: random weights in `shape`, and a tokenizer trained on `prepared`. UserError: a folder
    that is not whole, weights that only a pickle holds, a tokenizer or config of another model, a hub that cannot be reached.
    """
    del checkpoints, on_log
    if weights == "random":
        return _random(prepared, target, source=source, licence=licence, shape=shape, prompt=prompt, seed=seed)
    folder, commit = (Path(source), revision or "local") if Path(source).is_dir() else _download(source, revision)
    hashes = _copy_whole(folder, target)
    prompt.save(target)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "vocab_size" not in config:
        raise UserError(f"{folder / 'config.json'}: no vocab_size; a base is a plain causal language model, this looks like another kind")
    check_tokens(Prompts.load(target), rows=int(config["vocab_size"]), where=folder)
    if config.get("max_position_embeddings", context_length) < context_length:
        longest = config["max_position_embeddings"]
        raise UserError(f"{folder}: the base takes {longest} tokens, model.context_length={context_length}; set it to {longest} or less")
    from medllm.model.skeleton import check_weights

    parameters = check_weights(target)
    Lineage(
        name=target.name, parent=None, step="fetch_base", method="fetch_pretrained", template_sha256=prompt.sha256,
        params={"source": source, "revision": commit, "licence": licence}, notes={"converted_from_sha256": hashes} if hashes else {},
    ).save(target)  # fmt: skip
    return FetchResult(parameters=parameters, vocab_size=int(config["vocab_size"]), revision=commit, training=None)


def _random(prepared: Path, target: Path, *, source: str, licence: str, shape: Shape | None, prompt: Template, seed: int) -> FetchResult:
    if shape is None:
        raise UserError("model.weights=random needs model.shape; take a preset of conf/model that has one, or weights=pretrained")
    train_tokenizer(tokenizer_texts(prepared, prompt), vocab_size=shape.vocab_size, template=prompt, folder=target)
    parameters = write_random(target, shape=shape, tokenizer_from=target, seed=seed)
    lineage = read_lineage(target)
    replace(lineage, params={**lineage.params, "shape_of": source, "licence": licence}).save(target)
    log.warning("model.weights=random: size, speed and memory of %s can be measured; its answers mean nothing", source)
    return FetchResult(parameters=parameters, vocab_size=shape.vocab_size, revision="random", training=None)


def _download(repo: str, revision: str | None) -> tuple[Path, str]:
    """Snapshot folder in the hub's cache, and the commit it is at; pickled weights only where there are no others."""
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(_WANTED)))
        if not list(folder.glob(_WEIGHTS)):
            folder = Path(snapshot_download(repo, revision=folder.name, allow_patterns=list(_OLD_WEIGHTS)))
    except errors.HFValidationError as error:
        raise UserError(f"model.source={repo!r}: neither a folder on this machine nor a hub name (owner/name); check the path") from error
    except errors.GatedRepoError as error:
        raise UserError(f"model.source={repo!r}: access is granted one by one; accept the terms there, then hf auth login") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError(f"model.source={repo!r} at revision {revision!r}: not on the hub; check both") from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        raise UserError(f"model.source={repo!r}: no local folder, and the hub cannot be reached; download it or give a folder") from error
    if revision != folder.name:
        log.warning("%s is at %s now; pin it: model.revision=%s", repo, folder.name, folder.name)
    return folder, folder.name


def _copy_whole(source: Path, target: Path) -> dict[str, str]:
    """Link or convert the weights, copy the rest; sha256 of converted files. UserError when something is missing."""
    for name in ("config.json", "tokenizer.json"):
        if not (source / name).is_file():
            raise UserError(f"{source}: no {name}; a base needs config.json, tokenizer.json and {_WEIGHTS} in one folder")
    converted = not list(source.glob(_WEIGHTS))
    if converted and not list(source.glob(_OLD_WEIGHTS[0])):
        pickles = sorted(path.name for path in source.iterdir() if path.suffix in _PICKLES)
        found = f"{pickles[0]} is a pickle of another kind and is not loaded" if pickles else "nor pytorch_model*.bin"
        raise UserError(f"{source}: no {_WEIGHTS}, {found}; convert the checkpoint to safetensors first")
    _link(source, target)
    if not converted:
        return {}
    from medllm.model.bin_checkpoint import convert_bin
    from medllm.model.skeleton import read_config

    return convert_bin(source, target, tied=bool(read_config(source).tie_word_embeddings))


def _link(source: Path, target: Path) -> None:
    """Symlink what is large, copy what is small: a base that lies in a cache is not stored twice."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted({p for pattern in _WANTED for p in source.glob(pattern) if p.is_file()}):
        destination = target / path.name
        if destination.exists() or path.name.startswith("pytorch_model"):
            continue
        if path.suffix == ".safetensors":
            destination.symlink_to(path.resolve())
        else:
            shutil.copyfile(path, destination)
