"""Our engines as a model of lm-eval. Scores what lm-eval's own `hf` model scores: same token ids, same truncation, same stop strings.

Imported only by `medllm.public_tasks.run`, when it runs: lm-eval is an optional dependency.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm  # type: ignore[import-untyped]

from medllm.data.prompts import Prompts
from medllm.engines import Engine
from medllm.errors import UserError

_SLICE = 32  # sequences scored or answered between two steps of the progress bar; bounds the distributions held at once
_FIRST_STEP = 16  # new tokens before stop strings are looked for; doubled each time, since an answer is begun anew at each step
_NEW_TOKENS = 256  # where a task does not say, as lm-eval has it
_Encoded = tuple[tuple[str, str], list[int], list[int]]


class EngineLM(TemplateLM):  # type: ignore[misc]
    """`context` and `continuation` become ids as in lm-eval's TemplateLM; `truncated` counts the requests whose start was cut off,
    `max_gen_toks` is the most tokens that an answer could have (0: nothing was answered).
    """

    def __init__(self, engine: Engine, folder: Path, *, max_length: int) -> None:
        """`max_length` in tokens, prompt and answer together."""
        super().__init__()
        self._engine, self._prompts, self.max_length = engine, Prompts.load(folder), max_length
        self._eos = self._prompts.template.eos_token
        self._leading = list(self._prompts.tokenizer.encode("", add_special_tokens=True).ids)  # a BOS, where the tokenizer sets one
        self._prefix_id = _bos_id(folder, self._prompts)
        self.truncated = self.max_gen_toks = 0

    @property
    def eot_token_id(self) -> int:
        """End of text."""
        return self._prompts.eos_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context: BOS, or end of text where there is none."""
        return self._prefix_id

    @property
    def tokenizer_name(self) -> str:
        """Identity of the chat template."""
        return self._prompts.template.sha256

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Ids of a text. Unlike a user's text, a prompt of lm-eval may hold the end-of-text token, which chat templates write."""
        ids: list[int] = []
        for number, part in enumerate(string.split(self._eos)):
            ids += ([self._prompts.eos_id] if number else []) + self._prompts.text(part)
        led = add_special_tokens is False or ids[: len(self._leading)] == self._leading
        return ids if led else self._leading + ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Turns in the template of the model folder. Raises UserError for a system turn, which it has no place for."""
        text = ""
        for turn in chat_history:
            if turn["role"] == "system":
                raise UserError(f"the template {self._prompts.template.name!r} has no system turn; run this task without the chat template")
            asked = turn["role"] == "user"
            text += self._prompts.template.question.replace("{question}", turn["content"]) if asked else turn["content"] + self._eos
        return text if add_generation_prompt else text.removesuffix(self._eos)

    def _loglikelihood_tokens(self, requests: list[_Encoded], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Sum of log-probabilities and whether greedy decoding gives the continuation. Those that differ in the last token share a pass."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, (_, context, continuation) in enumerate(requests):
            if len(continuation) >= self.max_length:
                raise UserError(f"a continuation of {len(continuation)} tokens; the model has {self.max_length} for it and its context")
            self.truncated += len(context) + len(continuation) > self.max_length
            groups.setdefault((*context, *continuation[:-1]), []).append(i)
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for keys in self._slices(sorted(groups, key=len, reverse=True), "scored", quiet=disable_tqdm):
            sequences = [[*key, requests[groups[key][0]][2][-1]][-self.max_length :] for key in keys]
            longest = [max(len(requests[i][2]) for i in groups[key]) for key in keys]
            starts = [len(ids) - count for ids, count in zip(sequences, longest, strict=True)]
            for key, rows in zip(keys, self._engine.distributions(sequences, starts), strict=True):
                best = rows.argmax(axis=1)
                for i in groups[key]:
                    chosen = np.array(requests[i][2])
                    scores = rows[-len(chosen) :][np.arange(len(chosen)), chosen]
                    answers[i] = float(scores.sum()), bool((best[-len(chosen) :] == chosen).all())
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows of the context where they are longer."""
        owners: list[int] = []
        windows: list[_Encoded] = []
        for i, request in enumerate(requests):
            # one less than the context: a window is asked for with the prefix before it
            found = get_rolling_token_windows(self.tok_encode(request.args[0]), self.prefix_token_id, self.max_length - 1, context_len=1)
            for context, continuation in map(make_disjoint_window, found):
                owners.append(i)
                windows.append((("", ""), context, continuation))
        sums = [0.0] * len(requests)
        for i, (value, _) in zip(owners, self._loglikelihood_tokens(windows, disable_tqdm=disable_tqdm), strict=True):
            sums[i] += value
        return sums

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers up to the first stop string. No answer may take more than half of the context, whatever the task allows."""
        answers = [""] * len(requests)
        for batch in self._slices(range(len(requests)), "answered", quiet=disable_tqdm):
            jobs: dict[int, list[tuple[int, list[int], list[str]]]] = {}
            for i in batch:
                text, given = requests[i].args
                asked = normalize_gen_kwargs(given, _NEW_TOKENS)
                if asked["do_sample"]:
                    raise UserError(f"{requests[i].task_name}: samples its answers; our engines answer greedily only")
                count = min(int(asked["max_gen_toks"]), self.max_length // 2)
                self.max_gen_toks = max(self.max_gen_toks, count)
                ids = self.tok_encode(text)
                self.truncated += len(ids) > self.max_length - count
                stops = handle_stop_sequences(asked["until"], eos=self._eos)
                jobs.setdefault(count, []).append((i, ids[count - self.max_length :], stops))
            for count, group in jobs.items():
                for i, answer in self._answered(group, count):
                    answers[i] = answer
        return answers

    def _answered(self, group: list[tuple[int, list[int], list[str]]], count: int) -> Iterator[tuple[int, str]]:
        """(i, text) of each, at most `count` new tokens. Asks in growing steps: stop strings mostly come long before the limit."""
        step, got = _FIRST_STEP, {i: list[int]() for i, _, _ in group}
        while group:
            room = min(step, count - len(got[group[0][0]]))  # all that are left have got as many
            going = []
            for (i, ids, stops), new in zip(
                group, self._engine.generate([ids + got[i] for i, ids, _ in group], max_new_tokens=room), strict=True
            ):
                got[i] += new
                text = self._prompts.decode(got[i])
                if len(new) < room or len(got[i]) == count or any(stop in text for stop in stops):
                    yield i, str(postprocess_generated_text(text, stops, None))
                else:
                    going.append((i, ids, stops))
            group, step = going, 2 * step

    def _slices(self, items: Sequence[Any], done: str, *, quiet: bool) -> Iterator[Sequence[Any]]:
        with tqdm(total=len(items), desc=done, disable=quiet or None) as bar:  # None: no bar in a log file
            for start in range(0, len(items), _SLICE):
                yield items[start : start + _SLICE]
                bar.update(min(_SLICE, len(items) - start))


def _bos_id(folder: Path, prompts: Prompts) -> int:
    """The tokenizer's beginning-of-text token, else its end-of-text token."""
    path = folder / "tokenizer_config.json"
    token = json.loads(path.read_text(encoding="utf-8")).get("bos_token") if path.is_file() else None
    found = prompts.tokenizer.token_to_id(token["content"] if isinstance(token, dict) else token) if token else None
    return prompts.eos_id if found is None else int(found)
