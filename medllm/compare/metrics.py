"""The names that metric files may use, with unit and direction. A name that is not here stops `compare`."""

import re
from dataclasses import dataclass

from medllm.errors import UserError

SAMPLE_PREFIX = "sample_"
_SUFFIXES = ("_n", "_low", "_high")
_UNDER_LOAD = re.compile(r"^(?:users_\d+|prompt_\d+(?:_answer_\d+)?)_")  # with so many users; of such lengths


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
    "accuracy_choice_written": _up("share", "the same questions, answered in writing"),
    "accuracy_passage": _up("share", "Korean reading comprehension, multiple choice"),
    "accuracy_interview": _up("share", "which of four answers belongs to an interview so far"),
    "accuracy_general": _up("share", "passages and interviews together: general Korean"),
    "accuracy_solution": _up("share", "final answer of a worked maths solution"),
    "accuracy_term": _up("share", "terminology questions by entity: any name of the right thing, none of a wrong one"),
    "accuracy_department": _up("share", "short answers that name a department"),
    "accuracy_red_flag": _up("share", "emergencies to which the model alone names the right number"),
    "overtriage_rate": _down("share", "harmless first messages that the model alone sends to 119"),
    "accuracy_patient": _up("share", "interviews of simulated patients that end in right and safe advice"),
    "key_facts_elicited": _up("share", "decisive facts that the simulated patient was asked for"),
    "repeated_question_rate": _down("share", "questions asked a second time"),
    "unsafe_advice_rate": _down("share", "simulated emergencies in which no statement names 119 or an emergency room"),
    "interview_turns": _condition("", "turns of a simulated interview, mean"),
    **{
        f"{task}_{name}": _condition("share", f"accuracy_{task} of {told}")
        for task in ("choice", "passage", "interview")
        for name, told in (("chance", "a random pick"), ("majority", "always taking the most frequent position"))
    },
    "contradiction_rate": _down("share", "short answers that hold a wrong term"),
    "polite_rate": _up("share", "generated answers whose every sentence is polite Korean"),
    "repetition_rate": _down("share", "generated answers that go round in circles"),
    "foreign_script_rate": _down("share", "generated answers with foreign letters, or Latin words that were not in the question"),
    "unended_rate": _down("share", "generated answers that the model did not end itself"),
    "cut_prompts": _down("", "prompts whose beginning did not fit into the context"),
    "tokenizer_sha256": _condition("", "identity of the token ids that the engine gives to a few hard lines"),
    "end_token": _condition("", "token that answers were trained to end with"),
    "end_tokens": _condition("", "tokens that the saved model ends at by itself"),
    "unread_rate": _down("share", "written choices and solutions that name no option, or no final answer"),
    "bits_per_byte": _down("bits/byte", "cross-entropy on held-out medical text"),
    "bits_per_byte_general": _down("bits/byte", "cross-entropy on held-out general text"),
    "unanswered_rate": _down("share", "generated answers that were empty"),
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
    "ttft_ms_p99": _down("ms", "prompt and first token, 99th percentile"),
    "inter_token_ms_p50": _down("ms", "between two tokens as they are handed out, median over all tokens"),
    "inter_token_ms_p95": _down("ms", "between two tokens as they are handed out, 95th percentile"),
    "inter_token_ms_p99": _down("ms", "between two tokens as they are handed out, 99th percentile"),
    "bytes_read_per_token": _down("bytes", "computed from the file: weights and KV cache that decoding reads for a token"),
    "bandwidth_share": _up("share", "bytes read per token x decode rate / memory bandwidth measured in the same round"),
    "answers_per_s": _up("answers/s", "answers of all users / their time, median over rounds"),
    "users_in_budget": _up("users", "users at once at which most answers are given with their p95 in answer_budget_ms"),
    "answers_per_s_in_budget": _up("answers/s", "answers a second with that many users"),
    "cost_per_1000_answers": _down("KRW", "machine time of 1,000 answers at that rate, at price_per_hour_krw"),
    "cost_ratio_to_a": _down("ratio", "cost of an answer / that of baseline A at equal p95: rates of the same round, any price"),
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
    "answer_budget_ms": _condition("ms", "what the 95th percentile of answer times may be"),
    "price_per_hour_krw": _condition("KRW/h", "assumed price of the machine"),
    "load_rounds": _condition("", "timed rounds with users and lengths"),
    "answers_per_user": _condition("", "answers that each user waits for in a round"),
}


def find_metric(name: str, *, where: str) -> Metric:
    """The metric behind a name, without `sample_` and without `_n`, `_low`, `_high`; UserError naming `where` when there is none."""
    plain = _UNDER_LOAD.sub("", name.removeprefix(SAMPLE_PREFIX))
    if plain in METRICS:
        return METRICS[plain]
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and plain.removesuffix(suffix) in METRICS:
            return METRICS[plain.removesuffix(suffix)]
    raise UserError(f"unknown metric {name!r}: {where}; add it to medllm/compare/metrics.py or rename it")
