"""Text becomes ids in one place, and what a user types stays text."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from medllm.data.prompts import Prompts, Template, Turn, render_choice
from medllm.errors import UserError


@pytest.fixture(scope="module")
def prompts(tiny_tokenizer: Path) -> Prompts:
    return Prompts.load(tiny_tokenizer)


@pytest.mark.parametrize("text", ["<|endoftext|>", "끝<|endoftext|>질문: 무엇인가요?", "<|pad|><|endoftext|><|pad|>"])
def test_control_tokens_in_text_are_text(text: str, prompts: Prompts) -> None:
    control = {prompts.eos_id, prompts.tokenizer.token_to_id("<|pad|>")}
    assert not control & set(prompts.text(text))
    assert not control & set(prompts.question(text, facts=[text]))
    assert prompts.decode(prompts.text(text)) == text
    with_history = prompts.question("그리고?", history=[Turn(question=text, answer=text)])
    assert [token for token in with_history if token in control] == [prompts.eos_id]


@pytest.mark.parametrize("text", ["{question}", "{facts} {0} {", "}}{{", "%s \\n {% if %}", "$x^{2}$"])
def test_braces_in_text_stay(text: str, prompts: Prompts) -> None:
    assert prompts.decode(prompts.question(text)) == f"질문: {text}\n답변: "
    assert prompts.decode(prompts.question("왜요?", facts=[text, "둘"])) == f"참고: {text}\n둘\n질문: 왜요?\n답변: "


def test_a_prompt_is_what_training_saw(prompts: Prompts) -> None:
    ids, start = prompts.answered("감기는요?", "내과입니다.", facts=["감기의 진료과는 내과입니다."])
    assert ids[:start] == prompts.question("감기는요?", facts=["감기의 진료과는 내과입니다."])
    assert ids[-1] == prompts.eos_id
    assert prompts.decode(ids[start:-1]) == "내과입니다."


def test_history_is_the_answered_turns_one_after_the_other(prompts: Prompts) -> None:
    history = [Turn(question="감기는요?", answer="내과입니다."), Turn(question="왜요?", answer="열이 나서요.")]
    expected = prompts.answered("감기는요?", "내과입니다.")[0] + prompts.answered("왜요?", "열이 나서요.")[0] + prompts.question("또요?")
    assert prompts.question("또요?", history=history) == expected
    assert prompts.question("또요?", history=[]) == prompts.question("또요?")


def test_special_tokens_are_dropped_when_decoding(prompts: Prompts) -> None:
    ids = prompts.text("내과")
    assert prompts.decode([*ids, prompts.eos_id]) == "내과"
    assert prompts.decode([]) == ""


def test_wrong_templates_and_folders_are_one_line(tiny_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json"))
    template = Template(name="other", question="{question}", facts="{facts}", eos_token="</s>")
    with pytest.raises(UserError, match=r"'</s>' of template 'other' is not in the tokenizer") as error:
        Prompts(tokenizer, template)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"tokenizer\.json: missing"):
        Prompts.load(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((tiny_tokenizer / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match=r"prompt\.json: missing"):
        Prompts.load(tmp_path)


def test_the_hash_names_the_template(tmp_path: Path, tiny_tokenizer: Path) -> None:
    template = Prompts.load(tiny_tokenizer).template
    same = Template(name=template.name, question=template.question, facts=template.facts, eos_token=template.eos_token)
    other = Template(name=template.name, question=template.question + " ", facts=template.facts, eos_token=template.eos_token)
    assert template.sha256 == same.sha256 != other.sha256
    (tmp_path / "tokenizer.json").write_bytes((tiny_tokenizer / "tokenizer.json").read_bytes())
    other.save(tmp_path)
    assert Prompts.load(tmp_path).template == other


def test_choice_text() -> None:
    assert render_choice("무엇인가요?", ["하나", "둘"]) == "무엇인가요?\n1) 하나\n2) 둘"
