"""Do student and teacher speak of the same tokens?"""

import json
from pathlib import Path

from medllm.data.prompts import Prompts
from medllm.errors import UserError


def logit_rows(folder: Path) -> int:
    """Rows of the output matrix: one a token, and padding."""
    return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])


def shared_vocabulary(student: Path, teacher: Path) -> int:
    """How many logits both have in common; UserError naming the first token (by id) that they number differently.

    Embeddings may be padded (30,003 tokens in 30,080 rows). Where the row counts differ, rows past the last token are left out.
    """
    ours, theirs = (Prompts.load(folder).tokenizer.get_vocab() for folder in (student, teacher))
    if ours != theirs:
        different = [token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token)]
        token = min(different, key=lambda t: (min(vocab[t] for vocab in (ours, theirs) if t in vocab), t))
        raise UserError(
            f"distill: token {token!r} has id {ours.get(token)} in the student and {theirs.get(token)} in the teacher; logits need one "
            "vocabulary: take a student of the same family, or conf/distill/cross_entropy.yaml with self_data"
        )
    rows = logit_rows(student), logit_rows(teacher)
    return rows[0] if rows[0] == rows[1] else max(ours.values()) + 1
