"""GGUF models on llama.cpp, in this process, by the prebuilt `xllamacpp` wheel. Imports neither torch nor transformers."""

import http.client
import json
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xllamacpp

from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medllm.engines.llamacpp_logprobs import LogprobReader

CONTEXT = 1024  # tokens that a slot reserves its KV cache for
_QUIET = -1  # nothing of llama.cpp on stdout or stderr
_BATCH = 256  # prompt tokens evaluated at once: larger gains nothing on CPU and costs buffers
_HTTP_THREADS = 2
_GREEDY = {"temperature": 0, "top_k": 1, "samplers": ["top_k"], "repeat_penalty": 1.0, "return_tokens": True, "verbose": True}


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Open the socket instead of a TCP connection."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class LlamaServer:
    """One llama.cpp context of a GGUF file, reached in-process, and by a Unix socket in a private folder where there is no such call."""

    def __init__(self, path: Path, *, threads: int, context: int, slots: int = 1, hidden_states: bool = False) -> None:
        """`context` is in tokens for each slot; with `hidden_states` it answers `/embedding` with one vector per token."""
        self.slots = slots
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = context * slots, slots
        params.n_batch = params.n_ubatch = context if hidden_states else min(_BATCH, context)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_threads_http = _HTTP_THREADS
        # reading beats mapping here: types that are repacked for the CPU (Q4_0) would be in memory twice
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
        params.cache_ram_mib = 0  # else up to 8 GiB of old prompts stay in memory
        params.verbosity, params.warmup, params.fit_params = _QUIET, False, False
        params.ui, params.endpoint_slots = False, False  # /slots would show prompts of patients to other processes
        # a Unix socket only this user can reach, no port: works without any network, loopback included
        self._folder = tempfile.TemporaryDirectory(prefix="medllm-")
        self._socket = f"{self._folder.name}/llama.sock"
        params.hostnames = [self._socket]
        if hidden_states:
            params.embedding, params.embd_normalize = True, -1
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_NONE
        try:
            self.native = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UserError(f"{path}: llama.cpp cannot load it; write it again with quantize") from error

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Answer of an HTTP endpoint that has no in-process call. Raises UserError with llama.cpp's message."""
        return checked(json.loads(self.request_bytes(method, path, body)))

    def request_bytes(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The same as it comes, for who reads much: `checked` says whether it is an error."""
        connection = _SocketConnection(self._socket)
        try:
            payload = None if body is None else json.dumps(body).encode()
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()


class LlamaCppEngine:
    """Greedy decoding and log-probabilities of a GGUF folder."""

    name = "llama.cpp"
    stream_costs = True  # a JSON object a token: a sixth of the rate of a model of 3 million parameters, nothing of a large one

    def __init__(self, folder: Path, *, threads: int, context: int = CONTEXT, slots: int = 1) -> None:
        """`context` tokens for each of `slots` prompts answered at once (capped at the model's own length).

        One slot is the default because results are then the same bytes on every run: with more, which prompts share a
        matrix product depends on timing, and so may the last bits.
        """
        self.path, self.threads = folder / GGUF_FILE, threads
        self._slots, self._context = slots, context
        self._server: LlamaServer | None = LlamaServer(self.path, threads=threads, context=context, slots=slots)
        meta = self._server.request("GET", "/v1/models")["data"][0]["meta"]
        self.dtype = str(meta["ftype"]).lower().replace(" - ", "_").replace(" ", "_")
        self._reader: LogprobReader | None = None

    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, ignore_eos: bool = False) -> list[list[int]]:
        """See Engine.generate. Nothing is reused from earlier prompts, so that the order of calls changes nothing."""

        def answer(prompt: Sequence[int]) -> list[int]:
            ids, _ = self._complete(prompt, max_new_tokens, cache=False, ignore_eos=ignore_eos)
            return ids

        if self._slots == 1:
            return [answer(prompt) for prompt in prompts]
        with ThreadPoolExecutor(self._slots) as pool:
            return list(pool.map(answer, prompts))

    def stream(self, prompt: Sequence[int], *, max_new_tokens: int) -> Iterator[int]:
        """See Engine.stream. One request a token, on the cached prefix: llama.cpp's own stream merges tokens inside a UTF-8 character."""
        ids = list(prompt)
        for _ in range(max_new_tokens):
            new, ended = self._complete(ids, 1, cache=True)
            ids += new
            yield from new
            if ended:
                return

    def timed(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, users: int) -> list[list[float]]:
        """See Engine.timed. The file is opened again when there are more users than slots."""
        if users > self._open().slots:
            self._server = None  # free the smaller one first
            self._server = LlamaServer(self.path, threads=self.threads, context=self._context, slots=users)
        server = self._open()
        with ThreadPoolExecutor(users) as pool:
            return list(pool.map(lambda prompt: _arrivals(server, prompt, max_new_tokens), prompts))

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """See Engine.token_logprobs."""
        return self._open_reader().token_logprobs(sequences)

    def distributions(self, sequences: Sequence[Sequence[int]], starts: Sequence[int]) -> "list[NDArray[np.float32]]":
        """See Engine.distributions."""
        return self._open_reader().distributions(sequences, starts)

    def end_ids(self) -> frozenset[int]:
        """See Engine.end_ids."""
        return self._open_reader().end_ids

    def tokenize(self, text: str) -> list[int]:
        """Ids llama.cpp itself gives to plain text, special tokens not parsed: to check a GGUF's tokenizer against the training one."""
        body = {"content": text, "add_special": False, "parse_special": False}
        return list(self._open().request("POST", "/tokenize", body)["tokens"])

    def close(self) -> None:
        """See Engine.close."""
        self._server = self._reader = None

    def _open_reader(self) -> "LogprobReader":
        """A second context of the file, opened at the first use; chat and benchmark never pay for it."""
        from medllm.engines.llamacpp_logprobs import LogprobReader

        if self._reader is None:
            self._reader = LogprobReader(self.path, threads=self.threads)
        return self._reader

    def _open(self) -> LlamaServer:
        if self._server is None:
            raise RuntimeError(f"{self.path}: the engine is closed")
        return self._server

    def _complete(self, prompt: Sequence[int], count: int, *, cache: bool, ignore_eos: bool = False) -> tuple[list[int], bool]:
        """New ids without the end token, and whether the end token came; with `ignore_eos` llama.cpp forbids every end token."""
        body = {**_GREEDY, "prompt": list(prompt), "n_predict": count, "cache_prompt": cache, "ignore_eos": ignore_eos}
        result = checked(self._open().native.handle_completions(body))["__verbose"]
        tokens = list(result["tokens"])
        ended = result["stop_type"] == "eos"
        if not ended and len(tokens) < count:
            raise UserError(f"{self.path}: {len(prompt)} prompt tokens and {count} new ones do not fit the context; shorten the prompt")
        return (tokens[:-1] if ended else tokens), ended


def _arrivals(server: LlamaServer, prompt: Sequence[int], count: int) -> list[float]:
    """Seconds from sending to each token. Tokens that are held back until their character is whole share the wait for it evenly."""
    chunks: list[tuple[float, Any]] = []
    body = {**_GREEDY, "prompt": list(prompt), "n_predict": count, "cache_prompt": False, "ignore_eos": True}
    body |= {"stream": True, "timings_per_token": True, "verbose": False}
    start = time.perf_counter()
    server.native.handle_completions(body, lambda chunk: chunks.append((time.perf_counter() - start, chunk)))
    arrivals: list[float] = []
    for seconds, chunk in chunks:
        timings = checked(chunk)["timings"]
        if not arrivals:  # llama.cpp's own clock says how long before the first chunk the first token was
            arrivals.append(seconds - timings["predicted_ms"] / 1000)
        since, new = arrivals[-1], timings["predicted_n"] - len(arrivals)
        arrivals += [since + (seconds - since) * part / new for part in range(1, new + 1)]
    if len(arrivals) < count:
        raise UserError(f"{len(prompt)} prompt tokens and {count} new ones do not fit the context; shorten the prompt")
    return arrivals


def checked(answer: Any) -> Any:
    """The answer itself; UserError with llama.cpp's message when it is one."""
    if isinstance(answer, dict) and "error" in answer:
        raise UserError(f"llama.cpp: {answer['error']['message']}; shorten the prompt or check its token ids")
    return answer
