"""The names that metric files may use, with unit and direction. A name that is not here stops `compare`."""

from dataclasses import dataclass

from medllm.errors import UserError

SAMPLE_PREFIX = "sample_"
_SUFFIXES = ("_n", "_low", "_high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`higher_is_better` is None where there is no better side (a condition, a chance level)."""

    unit: str
    higher_is_better: bool | None
    summary: str


def _up(unit: str, summary: str) -> Metric:
    return Metric(unit=unit, higher_is_better=True, summary=summary)


def _down(unit: str, summary: str) -> Metric:
    return Metric(unit=unit, higher_is_better=False, summary=summary)


def _condition(unit: str, summary: str) -> Metric:
    return Metric(unit=unit, higher_is_better=None, summary=summary)


METRICS: dict[str, Metric] = {
    "accuracy_answer": _up("share", "generated answer holds the right term and no wrong one"),
    "accuracy_paraphrase": _up("share", "the same on wordings of which no part was trained"),
    "accuracy_grounded": _up("share", "the same, with the fact among others in the prompt, on facts of no training text"),
    "accuracy_scenario": _up("share", "last answer of a consultation names an acceptable department or number"),
    "accuracy_choice": _up("share", "multiple choice with shuffled options"),
    "choice_chance": _condition("share", "expected accuracy_choice of a random pick"),
    "choice_majority": _condition("share", "accuracy_choice of always taking the most frequent position"),
    "bits_per_byte": _down("bits/byte", "cross-entropy on held-out medical text"),
    "bits_per_byte_general": _down("bits/byte", "cross-entropy on held-out general text"),
    "unanswered_rate": _down("share", "answers that were empty or could not be read"),
    "protocol_version": _condition("", "version of the evaluation protocol"),
    "bytes": _down("bytes", "weights and tokenizer on disk"),
    "weight_bytes": _down("bytes", "weights on disk"),
    "parameters": _down("", "number of parameters, by logical shape"),
    "load_s": _down("s", "opening the engine on the model"),
    "ready_s": _down("s", "opening the engine and producing one token"),
    "rss_import_bytes": _down("bytes", "memory with the engine imported, before the model"),
    "rss_after_load_bytes": _down("bytes", "memory with the model loaded and one token produced"),
    "load_growth_bytes": _down("bytes", "memory after loading less memory before it: weights, KV cache, buffers, library code first used"),
    "peak_rss_bytes": _down("bytes", "largest memory of the whole process"),
    "resident_weight_bytes": _down("bytes", "computed from the file, not measured: weight tensors in the dtype they run in"),
    "ttft_ms_p50": _down("ms", "prompt and first token, median"),
    "ttft_ms_p95": _down("ms", "prompt and first token, 95th percentile"),
    "prefill_tokens_per_s": _up("tokens/s", "prompt tokens / time to first token, median"),
    "answer_ms_p50": _down("ms", "whole answer of exactly answer_tokens, measured, median"),
    "answer_ms_p95": _down("ms", "whole answer of exactly answer_tokens, measured, 95th percentile"),
    "decode_tokens_per_s": _up("tokens/s", "tokens after the first / their time, median; low, high: 10th, 90th percentile over rounds"),
    "decode_ratio_to_a": _up("x", "decode rate / baseline A of the same round"),
    "decode_ratio_to_b": _up("x", "decode rate / baseline B of the same round"),
    "device": _condition("", "device of the measurement"),
    "threads": _condition("", "threads"),
    "dtype": _condition("", "weight format"),
    "engine": _condition("", "inference engine"),
    "prompt_tokens": _condition("tokens", "prompt length"),
    "answer_tokens": _condition("tokens", "answer length; the end token is not obeyed"),
    "rounds": _condition("", "timed rounds"),
}


def find_metric(name: str, *, where: str) -> Metric:
    """The metric behind a name, without `sample_` and without `_n`, `_low`, `_high`; UserError naming `where` when there is none."""
    plain = name.removeprefix(SAMPLE_PREFIX)
    if plain in METRICS:
        return METRICS[plain]
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and plain.removesuffix(suffix) in METRICS:
            return METRICS[plain.removesuffix(suffix)]
    raise UserError(f"unknown metric {name!r}: {where}; add it to medllm/compare/metrics.py or rename it")
