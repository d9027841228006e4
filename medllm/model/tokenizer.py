"""A tokenizer trained on the prepared data: for the embedded base, and for a base of random weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medllm.data.examples import open_book_only
from medllm.data.prompts import Template
from medllm.data.records import read_records

PAD = "<|pad|>"


def train_tokenizer(texts: Iterator[str], *, vocab_size: int, template: Template, folder: Path) -> None:
    """Byte-level BPE with the GPT-2 split, no normalizer, no prefix space: exactly what llama.cpp's `gpt-2` pre-type does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[template.eos_token, PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer_class: Any = PreTrainedTokenizerFast
    fast = tokenizer_class(
        tokenizer_object=tokenizer, bos_token=template.eos_token, eos_token=template.eos_token, pad_token=PAD, unk_token=template.eos_token
    )
    fast.chat_template = template.chat_template()
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    template.save(folder)


def tokenizer_texts(prepared: Path, template: Template) -> Iterator[str]:
    """Running text, and the training questions in their template, so that the tokenizer spends few tokens on either."""
    for record in read_records(prepared / "corpus.jsonl"):
        yield record.text or f"{record.question} {record.answer}"
    for record in read_records(prepared / "train.jsonl"):
        if not open_book_only(record):  # invented words are for copying, not for the vocabulary
            turns = record.messages or (("user", record.question), ("assistant", record.answer))
            yield "".join(template.question.replace("{question}", text) if role == "user" else text for role, text in turns)
