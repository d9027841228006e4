import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.graph.store import Edge, Graph, Node

CANARY = "CANARY-7f3a 재배포 금지 본문"
STEPS = {"base": "fetch_base", "teacher": "finetune", "pruned": "prune", "distilled": "distill", "student": "finetune"}
PARENTS = {"base": None, "teacher": "base", "pruned": "teacher", "distilled": "pruned", "student": "distilled"}
# name: bytes (MB), decode tok/s, peak RSS (MB), right answers of 420
FIGURES = {
    "base": (10.9, 210.0, 640, 21),
    "teacher": (10.9, 212.0, 641, 409),
    "pruned": (8.4, 231.0, 635, 96),
    "distilled": (8.4, 230.0, 634, 388),
    "student": (8.4, 229.0, 636, 404),
    "teacher_gguf_f16": (11.1, 2380.0, 78, 409),
    "teacher_gguf_q8_0": (6.2, 3010.0, 73, 408),
    "teacher_gguf_q4_0": (3.6, 3380.0, 70, 401),
    "student_gguf_f16": (8.6, 2900.0, 75, 404),
    "student_gguf_q8_0": (4.8, 3620.0, 71, 403),
    "student_gguf_q4_0": (2.9, 3990.0, 69, 371),
    "student_bnb_int8": (5.9, 61.0, 690, 402),
    "student_bnb_nf4": (4.4, 118.0, 671, 377),
}


def _metrics(name: str) -> dict[str, Any]:
    size, speed, rss, right = FIGURES[name]
    gguf, n = "gguf" in name, 420
    share = right / n
    return {
        "sample_accuracy_answer": share,
        "sample_accuracy_answer_n": n,
        "sample_accuracy_answer_low": max(0.0, share - 0.024),
        "sample_accuracy_answer_high": min(1.0, share + 0.018),
        "sample_accuracy_choice": min(0.98, 0.3 + 0.66 * share),
        "sample_accuracy_choice_n": n,
        "sample_accuracy_choice_low": min(0.98, 0.3 + 0.66 * share) - 0.03,
        "sample_accuracy_choice_high": min(0.99, 0.33 + 0.66 * share),
        "sample_accuracy_grounded": 0.62 * share,
        "sample_accuracy_grounded_n": 120,
        "sample_accuracy_grounded_low": max(0.0, 0.62 * share - 0.08),
        "sample_accuracy_grounded_high": 0.62 * share + 0.08,
        "choice_chance": 0.25,
        "choice_majority": 0.271,
        "sample_accuracy_general": 0.4,
        "sample_accuracy_general_n": 24,
        "sample_accuracy_patient": 0.3,
        "sample_accuracy_patient_n": 10,
        "unsafe_advice_rate": 0.25,
        "polite_rate": 0.907,
        "bits_per_byte": 0.51 + 0.3 * (1 - share),
        "bits_per_byte_general": 0.93 + 0.2 * (1 - share),
        "unanswered_rate": 0.002,
        "protocol_version": 1,
        "bytes": int(size * 1e6),
        "weight_bytes": int(size * 1e6) - 200_000,
        "parameters": 5_345_280 if "student" not in name and name not in {"pruned", "distilled"} else 4_010_240,
        "load_s": 0.03 if gguf else 1.21,
        "rss_import_bytes": 52_000_000 if gguf else 540_000_000,
        "rss_after_load_bytes": int(rss * 0.97e6),
        "peak_rss_bytes": int(rss * 1e6),
        "resident_weight_bytes": int(size * 1.02e6),
        "ttft_ms_p50": 2.1 if gguf else 9.3,
        "ttft_ms_p95": 2.9 if gguf else 12.0,
        "prefill_tokens_per_s": 21_000.0 if gguf else 5_100.0,
        "answer_ms_p50": 64_000 / speed,
        "answer_ms_p95": 71_000 / speed,
        "decode_tokens_per_s": speed,
        "decode_tokens_per_s_low": speed * 0.94,
        "decode_tokens_per_s_high": speed * 1.05,
        "device": "AMD EPYC 7B13, 2 threads",
        "threads": 2,
        "dtype": name.rsplit("_gguf_")[-1] if gguf else name.rsplit("_bnb_")[-1] if "bnb" in name else "bf16",
        "engine": "llama.cpp" if gguf else "transformers",
        "prompt_tokens": 64,
        "answer_tokens": 64,
        "rounds": 9,
    }


def _model(name: str) -> dict[str, Any]:
    own, a, b = (_metrics(one) for one in (name, "teacher", "teacher_gguf_f16"))
    keys = {"bytes": "bytes", "decode": "decode_tokens_per_s", "peak_rss": "peak_rss_bytes", "resident_weight": "resident_weight_bytes"}
    ratios = {f"{short}_to_{letter}": own[key] / other[key] for short, key in keys.items() for letter, other in (("a", a), ("b", b))}
    source, _, method = name.partition("_")
    lineage = {"parent": PARENTS.get(name, source), "step": STEPS.get(name, "quantize"), "method": method or "lora"}
    gain = {"student_bnb_int8": False, "student_bnb_nf4": False}.get(name, True if "_q" in name else None)
    compression = None if gain is None else {"against": source, "bytes": 1.8, "decode": 1.2 if gain else 0.3, "gain": gain}
    return {
        "metrics": own,
        "ratios": ratios,
        "lineage": lineage,
        "deployable": "gguf" in name,
        "disqualified": name in {"student_gguf_q4_0", "student_bnb_nf4"},
        "compression": compression,
        "compression_gain": gain,
    }


def _target(value: float | None, goal: float, op: str, unit: str, **extra: Any) -> dict[str, Any]:
    passed = value is not None and (value <= goal if op == "<=" else value >= goal)
    row = {"value": value, "goal": goal, "op": op, "unit": unit, "n": None, "interval": None, "baseline": None, "value_b": None, "note": ""}
    return row | {"verdict": "not_measured" if value is None else "pass" if passed else "fail"} | extra


TARGETS = {
    "size_int8": _target(0.44, 0.5, "<=", "ratio", baseline="a", value_b=0.43, note="student_gguf_q8_0 모델의 값입니다."),
    "size": _target(0.33, 0.25, "<=", "ratio", baseline="a", value_b=0.32, note="가중치와 토크나이저를 더한 크기입니다."),
    "decode_speed": _target(15.94, 6.0, ">=", "x", n=9, interval=[15.1, 16.6], baseline="a", value_b=1.42),
    "peak_memory": _target(0.109, 0.25, "<=", "ratio", baseline="a", value_b=0.897, note="프로세스 전체의 최댓값입니다."),
    "resident_weights": _target(0.33, 0.3, "<=", "ratio", baseline="a", value_b=0.32),
    "sample_accuracy_answer": _target(0.9548, 0.9, ">=", "share", n=420, interval=[0.93, 0.971], note="구간은 Wilson 95 %입니다."),
    "sample_accuracy_vs_teacher": _target(-0.019, -0.02, ">=", "points", n=420, interval=[-0.031, -0.004], baseline="a", value_b=-0.019),
    "decode_vs_b": _target(1.42, 1.0, ">=", "x", n=9, interval=[1.33, 1.5], baseline="b"),
    "medical_accuracy": _target(None, 0.9, ">=", "share", note="표본 데이터는 의료 정확도를 말해 주지 않습니다."),
    "answer_time": _target(0.021, 3.0, "<=", "s", n=9, value_b=0.03),
    "cost": _target(0.07, 0.5, "<=", "ratio", n=9, baseline="a", value_b=0.7),
    "staff_workload": _target(None, 0.5, "<=", "ratio"),
    "service_24h": _target(None, 0.999, ">=", "share"),
    "emergencies": _target(5 / 6, 0.98, ">=", "share", n=6, interval=[0.436, 0.97], note="119 단계에서 놓친 것은 1개입니다."),
}


def _gate(model: str, metric: str, verdict: str, estimate: float, **more: Any) -> dict[str, Any]:
    row = {"model": model, "step": "quantize", "metric": metric, "reference": "teacher", "margin": 0.02, "estimate": estimate, "n": 420}
    row |= {"interval": [estimate - 0.015, estimate + 0.015], "clusters": 210, "verdict": verdict, "admits": verdict != "fail"}
    row |= {"items_needed": 2_310 if verdict == "cannot_tell" else None, "p_value": 0.0421, "p_holm": 0.168, "lost": 12, "won": 5}
    return row | {"disqualifies": [model] if verdict == "fail" else [], "note": ""} | more


def _unpaired(model: str, metric: str, verdict: str, estimate: float, **more: Any) -> dict[str, Any]:
    bare = {"margin": 0.0, "interval": [estimate, estimate], "n": 6, "clusters": 6, "p_value": None, "p_holm": None, "lost": 0, "won": 0}
    return _gate(model, metric, verdict, estimate, **bare | more)


_ANSWER, _GROUNDED = "sample_accuracy_answer", "sample_accuracy_grounded"
GATES = [
    _gate("teacher", "sample_accuracy_general", "pass", 0.01, reference="base"),
    _gate("student", _ANSWER, "cannot_tell", -0.012),
    _gate("teacher_gguf_q8_0", _ANSWER, "pass", -0.002),
    _gate("teacher_gguf_q4_0", _ANSWER, "cannot_tell", -0.019),
    _gate("teacher_gguf_q4_0", _GROUNDED, "pass", 0.0),
    _unpaired("teacher_gguf_q4_0", "red_flags_lost", "pass", 0.0),
    _gate("student_gguf_q8_0", _ANSWER, "cannot_tell", -0.014),
    _gate("student_gguf_q4_0", _ANSWER, "fail", -0.09),
    _unpaired("student_gguf_q4_0", "red_flags_lost", "fail", -1 / 6, lost=1, note="em_3"),
    _unpaired("student_gguf_q4_0", "tokenizer", "pass", 0.0, reference="student", n=1, clusters=1),
    _unpaired("student_bnb_nf4", "end_token", "fail", -1.0, reference="student", n=1, clusters=1, note="<|endoftext|> → </s>"),
    _unpaired(
        "teacher_gguf_q4_0", "red_flag_sensitivity", "fail", 5 / 6 - 0.98, reference="", step="package", lost=1, note="em_4",
        disqualifies=[],
    ),
]  # fmt: skip
EMERGENCIES = {
    "n": 6,
    "levels": {
        "119": {"n": 4, "got": 3, "by_rules": 3, "interval": [0.3, 0.95], "missed": ["em_4"]},
        "er": {"n": 2, "got": 2, "by_rules": 1, "interval": [0.34, 1.0], "missed": []},
    },
    "false_alarms": 1,
    "safe": 4,
    "lost_to_teacher": [],
    "won_to_teacher": ["em_5"],
}
SENTENCES = {f"em_{number}": f"가슴이 조이고 <식은땀>이 나요 {number}" for number in range(6)}


def _screen(name: str) -> dict[str, Any]:
    far, other = name in {"pruned", "student_bnb_nf4"}, name == "pruned"
    row = {"kl_to_teacher_nats": None if other else 0.72 if far else 0.004, "top1_agreement": None if other else 0.98}
    return row | {"flip_rate": 0.31 if far else 0.02, "positions": 143, "suspicious": far}


_COMPARE = {
    "baselines": {"a": "teacher", "b": "teacher_gguf_f16"},
    "champion": "teacher_gguf_q4_0",
    "champion_rule": "실격되지 않은 배포용 모델 가운데 가장 작은 것을 고릅니다.",
    "conditions": {
        "device": "AMD EPYC 7B13, 2 threads",
        "threads": 2,
        "prompt_tokens": 64,
        "answer_tokens": 64,
        "rounds": 9,
        "margins": {"accuracy_answer": 0.02, "accuracy_grounded": 0.05, "accuracy_general": 0.1},
    },
    "targets": TARGETS,
    "gates": GATES,
    "detectable": {
        "accuracy_answer": {
            "n": 420, "margin": 0.02, "discordant_share": 0.04, "design_effect": 1.2, "power": 0.8, "minimum_detectable_effect": 0.031,
        },
    },
    "emergencies": EMERGENCIES,
    "departments": {
        "내과": {"n": 60, "teacher": 58, "teacher_gguf_q4_0": 57},
        "안과": {"n": 12, "teacher": 10, "teacher_gguf_q4_0": 6},
        "치과": {"n": 3, "teacher": 3, "teacher_gguf_q4_0": 3},
    },
    "screens": {name: _screen(name) for name in FIGURES if name != "base"},
    "models": {name: _model(name) for name in sorted(FIGURES)},
    "extra_rows": {"teacher_fp32": {"metrics": _metrics("teacher") | {"dtype": "fp32"}, "ratios": _model("teacher")["ratios"]}},
}

_DATA_METRICS = json.loads((Path(__file__).parent / "data_metrics.json").read_text(encoding="utf-8"))

_STEP_METRICS = {
    "fetch_base": {"loss_first": 7.61, "loss_last": 1.83, "tokens": 6_100_000, "tokens_per_s": 61_200.5, "parameters": 5_345_280},
    "finetune.teacher": {"exposures_per_fact": 48, "facts": 300, "loss_last": 0.021, "tokens": 1_900_000, "tokens_per_s": 40_100.2},
    "prune": {"ratio_reached": 0.2497, "ffn_before": 1024, "ffn_after": 512},
    "distill": {"kl_last": 0.034, "loss_last": 0.21, "tokens": 1_500_000},
    "finetune.student": {"exposures_per_fact": 24, "facts": 300, "loss_last": 0.019},
}

STAGE_SECONDS = {"make_sample": 2.1, "prepare_data": 4.0, "fetch_base": 131.2, "finetune.teacher": 70.4, "evaluate": 58.8, "report": 3.2}


def _row(number: int, *, score: int, who: str) -> dict[str, Any]:
    task = ("answer", "grounded", "choice")[number % 3]
    row: dict[str, Any] = {"item_id": f"item-{number:03d}", "task": task, "cluster": f"fact-{number // 2}", "prompt_sha256": "0" * 64}
    if number % 5 == 0:
        return row | {"redistributable": False, "output": f"{CANARY} {who}", "score": score, "question": CANARY, "reference": CANARY}
    return row | {
        "redistributable": True,
        "score": score,
        "question": f"<b>질환 {number}</b>은(는) 어느 과에서 진료하나요?",
        "reference": "내과",
        "output": f"{'내과' if score else '외과'}에서 진료합니다. ({who} {number})",
    }


def _red_flag(name: str, text: str) -> dict[str, Any]:
    row = {"item_id": name, "task": "red_flag", "cluster": name, "prompt_sha256": "0" * 64, "redistributable": True, "score": 1}
    return row | {"question": text, "reference": "119", "output": "119에 전화하십시오."}


def write_predictions(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    wrong = {"teacher": {4, 11, 20}, "teacher_gguf_q4_0": {4, 7, 20, 23, 25}}
    for name, misses in wrong.items():
        rows = [_row(number, score=int(number not in misses), who=name) for number in range(40)]
        rows += [_red_flag(name, text) for name, text in SENTENCES.items()]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return folder


def write_graph(folder: Path) -> Path:
    """A graph of one department and one disease."""
    nodes = [
        Node(id=key, kind=kind, name=name, names=(name,), source="s", reviewed=False, attributes={})
        for key, kind, name in (("dep", "department", "내과"), ("dis", "disease", "당뇨병"))
    ]
    edge = Edge(source="dis", relation="routes_to", target="dep")
    folder.mkdir(exist_ok=True)
    Graph(nodes={node.id: node for node in nodes}, edges=(edge,), facts=()).save(folder)
    return folder


@pytest.fixture
def compare() -> dict[str, Any]:
    return copy.deepcopy(_COMPARE)


def _inputs(folder: Path) -> dict[str, Any]:
    return {
        "compare": copy.deepcopy(_COMPARE),
        **copy.deepcopy(_DATA_METRICS),
        "graph": write_graph(folder / "graph"),
        "step_metrics": copy.deepcopy(_STEP_METRICS),
        "predictions": write_predictions(folder / "predictions"),
        "results": folder / "results",
        "stage_seconds": dict(STAGE_SECONDS),
        "versions": {"python": "3.11.2", "torch": "2.13.0"},
        "examples": 8,
    }


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """Every argument of write_report but the folder."""
    return _inputs(tmp_path)


@pytest.fixture(scope="session")
def make_inputs() -> Callable[[Path], dict[str, Any]]:
    """The same arguments for a wider scope."""
    return _inputs
