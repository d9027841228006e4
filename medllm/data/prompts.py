"""The only place where text becomes token ids: training, evaluation, benchmark, chat and service all go through here.

Needs only `tokenizers` (no torch, no transformers). User text is encoded without special-token parsing, so that
"<|endoftext|>" typed by a user is text, never a control token.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenizers import Tokenizer

from medllm.errors import UserError

PROMPT_FILE = "prompt.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How one turn is written. `facts` is put before the question when retrieved facts are given; both end ready for the next part."""

    name: str
    question: str
    facts: str
    eos_token: str

    @property
    def sha256(self) -> str:
        """Identity of the template, kept in every lineage."""
        return hashlib.sha256(json.dumps(asdict(self), ensure_ascii=False, sort_keys=True).encode()).hexdigest()

    def chat_template(self) -> str:
        """The same template as Jinja, for stock users of the Hugging Face folder (no retrieved facts)."""
        before, after = self.question.split("{question}")
        return (
            "{% for m in messages %}{% if m.role == 'user' %}" + before + "{{ m.content }}" + after
            + "{% elif m.role == 'assistant' %}{{ m.content }}" + self.eos_token + "{% endif %}{% endfor %}"
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write prompt.json into a model folder."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2, sort_keys=True)
        (folder / PROMPT_FILE).write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One exchange of a conversation; `answer` is None for the turn to be answered."""

    question: str
    answer: str | None = None


class Prompts:
    """Encodes and decodes for one model folder (tokenizer.json + prompt.json)."""

    def __init__(self, tokenizer: Tokenizer, template: Template) -> None:
        """The tokenizer is switched to plain encoding: special tokens in text are not parsed."""
        tokenizer.encode_special_tokens = True
        eos_id = tokenizer.token_to_id(template.eos_token)
        if eos_id is None:
            raise UserError(f"{template.eos_token!r} of template {template.name!r} is not in the tokenizer; set model.prompt.eos_token")
        self.tokenizer, self.template, self.eos_id = tokenizer, template, int(eos_id)

    @classmethod
    def load(cls, folder: Path) -> "Prompts":
        """Read tokenizer.json and prompt.json of a model folder."""
        tokenizer_file, prompt_file = folder / "tokenizer.json", folder / PROMPT_FILE
        for path in (tokenizer_file, prompt_file):
            if not path.is_file():
                raise UserError(f"{path}: missing; {folder} is not a medllm model folder")
        template = Template(**json.loads(prompt_file.read_text(encoding="utf-8")))
        return cls(Tokenizer.from_file(str(tokenizer_file)), template)

    def text(self, text: str) -> list[int]:
        """Token ids of plain text: no special token is added or parsed."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def question(self, question: str, *, facts: Sequence[str] = (), history: Sequence[Turn] = ()) -> list[int]:
        """Ids of a prompt that is ready for the answer."""
        ids: list[int] = []
        for turn in history:
            ids += self._asked(turn.question) + self.text(turn.answer or "") + [self.eos_id]
        return ids + self.facts(facts) + self._asked(question)

    def answered(self, question: str, answer: str, *, facts: Sequence[str] = ()) -> tuple[list[int], int]:
        """Ids of prompt + answer + EOS for training, and where the answer starts."""
        prompt = self.question(question, facts=facts)
        return prompt + self.text(answer) + [self.eos_id], len(prompt)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens dropped."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def facts(self, facts: Sequence[str]) -> list[int]:
        """Ids of the facts that are put before a question."""
        # str.replace, not str.format: texts may hold braces
        return self.text(self.template.facts.replace("{facts}", "\n".join(facts))) if facts else []

    def _asked(self, question: str) -> list[int]:
        return self.text(self.template.question.replace("{question}", question))


def render_choice(question: str, options: Sequence[str]) -> str:
    """A multiple-choice question as one prompt text: stem, then numbered options, one a line."""
    return "\n".join([question, *(f"{number}) {option}" for number, option in enumerate(options, 1))])
