"""The embedded base: a small GPT-NeoX, trained on the running text of the prepared data with a tokenizer of its own."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from medllm.data.examples import Example, chat_example
from medllm.data.prompts import Prompts, Template
from medllm.data.records import Record, read_records
from medllm.errors import UserError
from medllm.model.folder import Lineage, save_model, sha256_of
from medllm.model.induction import plant_induction as plant
from medllm.model.result import FetchResult
from medllm.model.tokenizer import PAD, tokenizer_texts, train_tokenizer
from medllm.training import LogFunction, Schedule, train


def documents(records: Sequence[Record], *, statement_repeats: int, rng: random.Random) -> list[str]:
    """One epoch of running text in random order: every other text once, every statement `statement_repeats` times.

    Every fourth time the statements of one fact stand together as a paragraph, as names recur in real text.
    """
    by_fact: dict[str, list[str]] = defaultdict(list)
    texts: list[str] = []
    for record in records:
        if record.kind == "statement":
            by_fact[record.fact_id or record.id].append(record.text)
        else:
            texts.append(record.text or f"{record.question} {record.answer}")
    for number in range(statement_repeats):
        for statements in by_fact.values():
            texts += statements if number % 4 else ["\n".join(rng.sample(statements, len(statements)))]
    rng.shuffle(texts)
    return texts


def pack(prompts: Prompts, texts: Iterable[str], *, block: int) -> list[Example]:
    """Running text cut into blocks of `block` tokens, documents joined by EOS: no padding at all (GPT-3, 2020, section 2.3)."""
    stream: list[int] = []
    for text in texts:
        stream += [*prompts.text(text), prompts.eos_id]
    return [Example(ids=stream[i : i + block]) for i in range(0, len(stream) - 1, block)]


def conversations(prepared: Path, prompts: Prompts, *, max_tokens: int) -> list[Example]:
    """Reading drills and consultations, with the loss on everything after the facts: a base learns the questions too."""
    chats = (record for record in read_records(prepared / "train.jsonl") if record.kind == "chat")
    examples = (chat_example(record, prompts, max_tokens=max_tokens, questions=True) for record in chats)
    return [example for example in examples if example is not None]


def _untie(model: Any) -> None:
    """An output embedding of its own, as Polyglot-Ko has it; tied ones only help while copying is learned."""
    import torch

    model.config.tie_word_embeddings = False
    model.set_output_embeddings(torch.nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=False))
    with torch.no_grad():
        model.get_output_embeddings().weight.copy_(model.get_input_embeddings().weight)


def train_tiny(
    prepared: Path, target: Path, *, hidden_size: int, num_layers: int, num_heads: int, ffn_size: int, vocab_size: int,
    context_length: int, block_tokens: int, statement_repeats: int, plant_induction: bool, prompt: Template, schedule: Schedule, seed: int,
    checkpoints: Path, on_log: LogFunction | None = None,
) -> FetchResult:  # fmt: skip
    """Train tokenizer and model on the running text and the reading drills of data/prepared and save them as a model folder.

    `plant_induction` starts from weights that can copy from the context (medllm.model.induction).
    """
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, set_seed

    if hidden_size % num_heads:
        raise UserError(f"model.hidden_size={hidden_size} is not a multiple of model.num_heads={num_heads}; change conf/model/tiny.yaml")
    set_seed(seed)
    train_tokenizer(tokenizer_texts(prepared, prompt), vocab_size=vocab_size, template=prompt, folder=target)
    prompts = Prompts.load(target)
    config = GPTNeoXConfig(
        vocab_size=vocab_size, hidden_size=hidden_size, num_hidden_layers=num_layers, num_attention_heads=num_heads,
        intermediate_size=ffn_size, max_position_embeddings=context_length, bos_token_id=prompts.eos_id, eos_token_id=prompts.eos_id,
        pad_token_id=prompts.tokenizer.token_to_id(PAD),
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
        tie_word_embeddings=True,
    )  # fmt: skip
    model = GPTNeoXForCausalLM(config)
    if plant_induction:
        plant(model, seed=seed)
    records, rng = list(read_records(prepared / "corpus.jsonl")), random.Random(seed)
    epochs = [documents(records, statement_repeats=statement_repeats, rng=rng) for _ in range(math.ceil(schedule.num_epochs))]
    blocks = pack(prompts, chain.from_iterable(epochs), block=block_tokens)
    blocks += len(epochs) * conversations(prepared, prompts, max_tokens=context_length)
    # every epoch is cut anew, so the trainer sees all of them as one
    result = train(
        model, blocks, schedule=replace(schedule, num_epochs=schedule.num_epochs / len(epochs)), seed=seed, checkpoints=checkpoints,
        on_log=on_log,
    )  # fmt: skip
    _untie(model)
    facts = {record.fact_id for record in records if record.kind == "statement"}
    statements = sum(record.kind == "statement" for record in records)
    exposures = statement_repeats * schedule.num_epochs * statements / max(1, len(facts))
    lineage = Lineage(
        name=target.name, parent=None, step="fetch_base", method="train_tiny", template_sha256=prompt.sha256,
        data_sha256=sha256_of(prepared / "corpus.jsonl"),
        params={"hidden_size": hidden_size, "num_layers": num_layers, "ffn_size": ffn_size, "vocab_size": vocab_size, **asdict(schedule)},
    )  # fmt: skip
    save_model(model, target, tokenizer_from=target, lineage=lineage)
    return FetchResult(
        parameters=model.num_parameters(), vocab_size=vocab_size, revision="trained", facts=len(facts), exposures_per_fact=exposures,
        training=result,
    )  # fmt: skip
