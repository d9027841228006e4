"""Cheap marks of a damaged model: next-token distributions to hold against the teacher's, and who it says its tokens are."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medllm.data.examples import answer_text, question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record
from medllm.engines import Engine

_ANSWER_TOKENS = 16  # of a reference answer: bounds the file and the memory, whatever the vocabulary
_PROBES = (
    "당화혈색소 HbA1c 6.5% 이상이면 어느 과에서 진료를 받나요?",
    "가슴이 쥐어짜듯 아프고 식은땀이 나요ㅠㅠ 119 불러야 하나요?!",
    " 앞에 빈칸이 있고  두 칸도 있습니다\n줄바꿈 뒤입니다.",
    "<|endoftext|> 는 글자로 읽어야 합니다 [UNK] </s>",
    "뷁뚫쉙 ☎ 😀 漢字 kg/㎡ α-차단제",
)


def write_distributions(path: Path, engine: Engine, prompts: Prompts, records: Sequence[Record], *, context: int) -> None:
    """Log-probabilities at the first tokens of the reference answers and at the end token, (positions, vocabulary) in float16, as .npy."""
    asked = [prompts.question(question_text(record))[-(context - _ANSWER_TOKENS - 1) :] for record in records]
    answers = [prompts.text(answer_text(record))[:_ANSWER_TOKENS] for record in records]
    sequences = [[*ids, *answer, prompts.eos_id] for ids, answer in zip(asked, answers, strict=True)]
    found = engine.distributions(sequences, [len(ids) for ids in asked])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.concatenate(found).astype(np.float16))


def tokenizer_sha256(engine: Engine, prompts: Prompts) -> str:
    """Identity of the ids that the engine itself gives to a few hard lines, where it has a tokenizer, else the folder's."""
    own = getattr(engine, "tokenize", prompts.text)
    vocabulary = prompts.tokenizer.get_vocab_size()
    return hashlib.sha256(json.dumps([vocabulary, *[list(own(line)) for line in _PROBES]]).encode()).hexdigest()[:16]


def end_tokens(engine: Engine, prompts: Prompts) -> dict[str, str]:
    """`end_token`: the one that answers were trained with; `end_tokens`: those that the saved model itself ends at, sorted by id."""
    own = " ".join(str(prompts.tokenizer.id_to_token(token)) for token in sorted(engine.end_ids()))
    return {"end_token": prompts.template.eos_token, "end_tokens": own}
