"""The real download against a stand-in of the hub on this machine: what is fetched, and that the commit is told."""

import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medllm.data.prompts import Template
from medllm.errors import UserError
from medllm.model.folder import load_model, read_lineage
from medllm.model.pretrained import fetch_pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/old-model"


class Hub(BaseHTTPRequestHandler):
    """What a snapshot asks for: the commit of a revision, the list of its files, a file at a commit."""

    folder: Path
    fetched: list[str]
    gated: int | None = None  # status of every file for who has not accepted the terms; the list is open to all

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if self.gated and "/resolve/" in self.path:
            self.send_response(self.gated)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", f"Access to model {REPO} is restricted and you are not in the authorized list.")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        files = sorted(self.folder.iterdir())
        if self.path.startswith(f"/api/models/{REPO}/tree"):
            entries = [{"type": "file", "path": path.name, "size": path.stat().st_size, "oid": COMMIT} for path in files]
            content = json.dumps(entries).encode()
        elif self.path.startswith(f"/api/models/{REPO}"):
            content = json.dumps({"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": path.name} for path in files]}).encode()
        else:
            name = self.path.rsplit("/", 1)[-1].partition("?")[0]
            content = (self.folder / name).read_bytes()
            self.fetched += [name] if body else []
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A repository with both kinds of weights and files that nobody needs."""
    from huggingface_hub import constants

    folder = tmp_path / "repository"
    shutil.copytree(tiny_folder, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    for name in ("README.md", "training_args.bin", "flax_model.msgpack"):
        (folder / name).write_bytes(b"not needed")
    handler = type("OneHub", (Hub,), {"folder": folder, "fetched": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield handler
    server.shutdown()
    server.server_close()


def fetch(target: Path, revision: str | None) -> Any:
    template = Template(name="p", question="{question}", facts="{facts}", eos_token="<|endoftext|>")
    return fetch_pretrained(
        target, target, source=REPO, revision=revision, licence="mit", weights="pretrained", context_length=256, shape=None,
        prompt=template, seed=0, checkpoints=target,
    )  # fmt: skip


def both(folder: Path) -> None:
    del folder


def only_old(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(("keep", "weights"), [(both, "model.safetensors"), (only_old, "pytorch_model.bin")])
def test_pickles_are_fetched_only_where_there_is_nothing_else(
    keep: Callable[[Path], None], weights: str, hub: type[Hub], tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(hub.folder)
    with caplog.at_level(logging.WARNING, logger="medllm"):
        result = fetch(tmp_path / "base", None)
    assert {name for name in hub.fetched if not name.endswith("json")} == {weights}
    assert result.revision == read_lineage(tmp_path / "base").params["revision"] == COMMIT
    assert f"model.revision={COMMIT}" in caplog.text
    assert torch.equal(*(load_model(folder).get_input_embeddings().weight for folder in (tiny_folder, tmp_path / "base")))


def test_a_pinned_revision_has_nothing_to_tell(hub: type[Hub], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="medllm"):
        assert fetch(tmp_path / "base", COMMIT).revision == COMMIT
    assert not caplog.records
    assert hub.fetched


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_is_told_from_a_missing_one(status: int, hub: type[Hub], tmp_path: Path) -> None:
    hub.gated = status  # 401 to a stranger, 403 to a token that has not accepted the terms
    with pytest.raises(UserError, match=rf"model\.source='{REPO}': access is granted one by one; accept the terms") as error:
        fetch(tmp_path / "base", None)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "base").exists()
