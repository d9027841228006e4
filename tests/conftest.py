"""Fixtures shared by all tests: a random-weight miniature with the shape and tokenizer of the default model."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from medllm.data.knowledge import Knowledge
    from medllm.graph.store import Graph
    from medllm.quantize import QuantizeResult

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

KNOWLEDGE = Path(__file__).parents[1] / "data" / "knowledge"
EOS, PAD = "<|endoftext|>", "<|pad|>"
VOCAB = 600
_NOUNS = ["감기", "고혈압", "당뇨병", "위염", "천식", "편두통", "폐렴", "관절염", "빈혈", "아토피 피부염"]
_FORMS = [
    "{0}의 대표 증상은 무엇인가요? 진료과는 어디로 가야 하나요?",
    "{0}이 의심되면 혈액 검사를 합니다. 정상 수치는 12.5 mg/dL 이하입니다.",
    "질문: {0}에는 어떤 약을 쓰나요?\n답변: 의사와 상의하여 복용합니다.",
    "참고: {0}은 내과에서 진료합니다.\n질문: {0}은 무슨 과인가요?",
    "{0} 환자는 {1}일 동안 경과를 관찰하고, 열이 나면 119에 전화하세요.",
]


def sample_lines() -> list[str]:
    """Fifty Korean lines, enough for a byte-level BPE of 600."""
    return [form.format(noun, number) for number, noun in enumerate(_NOUNS, 2) for form in _FORMS]


def write_tokenizer(folder: Path, *, vocab: int = VOCAB) -> None:
    """The tokenizer of the default: byte-level BPE, GPT-2 split, no normalizer, no prefix space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[EOS, PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(sample_lines(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, bos_token=EOS, pad_token=PAD)
    fast.save_pretrained(folder)


def write_neox(folder: Path, tokenizer_from: Path, *, hidden: int = 128, layers: int = 2, ffn: int = 256, seed: int = 0) -> Path:
    """A random GPT-NeoX folder (heads of 64). Weights are scaled up so that logits differ clearly between tokens."""
    import torch
    from tokenizers import Tokenizer
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from medllm.model.folder import Lineage, save_model

    tokenizer = Tokenizer.from_file(str(tokenizer_from / "tokenizer.json"))
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=ffn,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        use_parallel_residual=True,
        tie_word_embeddings=False,
        initializer_range=0.15,
        bos_token_id=tokenizer.token_to_id(EOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    model = GPTNeoXForCausalLM(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):  # zero at init: a converter that drops or mixes up biases must be seen
                value.normal_(0.0, 0.1)
    save_model(model, folder, tokenizer_from=tokenizer_from, lineage=Lineage(name=folder.name, parent=None, step="test", method="random"))
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tokenizer.json, tokenizer_config.json and prompt.json only."""
    from medllm.data.prompts import Template

    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    Template(name="sample", question="질문: {question}\n답변: ", facts="참고: {facts}\n", eos_token=EOS).save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """A random GPT-NeoX model folder: hidden 128, 2 layers, 2 heads of 64, FFN 256, vocabulary 600. Read-only: copy it to change it."""
    return write_neox(tmp_path_factory.mktemp("models") / "tiny", tiny_tokenizer)


@pytest.fixture(scope="session")
def make_neox(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Callable[..., Path]:
    """A function that writes another random folder, `make_neox(ffn=192)`; see write_neox for the knobs."""
    return lambda **knobs: write_neox(tmp_path_factory.mktemp("models") / "variant", tiny_tokenizer, **knobs)


@pytest.fixture
def quantised_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_folder` whose config.json and lineage say that bitsandbytes made it from `student`."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "student_bnb_nf4"))
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    lineage = {"name": folder.name, "parent": "student", "step": "quantize", "method": "quantize_bnb"}
    (folder / "lineage.json").write_text(json.dumps(lineage), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def plain_gguf() -> Callable[..., "QuantizeResult"]:
    """Writes a GGUF without calibration: `plain_gguf(source, target, "q8_0", head_scheme="f16")`, one scheme unless told."""
    from medllm.quantize.gguf import quantize_gguf

    def write(source: Path, target: Path, scheme: str, **knobs: Any) -> "QuantizeResult":
        plain = {"sensitive_scheme": scheme, "head_scheme": scheme, "importance": "none", "batch_rows": 8, "max_tokens": 128}
        return quantize_gguf(source, Path("unused"), target, scheme=scheme, **{**plain, **knobs})  # type: ignore[arg-type]

    return write


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, plain_gguf: Callable[..., object]) -> dict[str, Path]:
    """GGUF folders of `tiny_folder` by scheme: f16, q8_0, q4_0. Read-only."""
    root = tmp_path_factory.mktemp("gguf")
    for scheme, head in (("f16", "f16"), ("q8_0", "q8_0"), ("q4_0", "q8_0")):
        plain_gguf(tiny_folder, root / scheme, scheme, head_scheme=head)
    return {path.name: path for path in sorted(root.iterdir())}


@pytest.fixture(scope="session")
def whole_knowledge() -> "Knowledge":
    """The real tables."""
    from medllm.data.knowledge import load_knowledge

    return load_knowledge(KNOWLEDGE)


@pytest.fixture(scope="session")
def whole_graph(whole_knowledge: "Knowledge") -> "Graph":
    """The graph of the real tables: seconds to build. Read-only; `whole_graph.save(folder)` gives a folder of it."""
    from medllm.data.sample.forms import statement
    from medllm.graph.build import build_graph

    return build_graph(whole_knowledge, statement=statement)


@pytest.fixture(scope="session")
def small_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/prepared of the sample in miniature: 30 trained facts, 6 held out, 20 maths problems. Read-only: copy it to change it."""
    from medllm.data.prepare import prepare_data
    from medllm.data.sample.generate import make_sample

    root = tmp_path_factory.mktemp("data")
    make_sample(KNOWLEDGE, root / "raw", num_trained_facts=30, num_heldout_facts=6, num_maths=20, num_reading=20, seed=13)
    prepare_data(
        root / "raw", root / "prepared", max_bad_share=0.0, num_calibration=16, similarity=0.9, document_similarity=0.8, test_share=0.2,
        seed=13,
    )
    return root / "prepared"


@pytest.fixture(scope="session")
def few(small_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every 25th training record of `small_prepared`: enough to train on in a second."""
    from medllm.data.records import read_records, write_records

    folder = tmp_path_factory.mktemp("few")
    write_records(folder / "train.jsonl", list(read_records(small_prepared / "train.jsonl"))[::25])
    return folder
