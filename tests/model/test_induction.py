from typing import Any

import pytest
import torch

from medllm.errors import UserError
from medllm.model.induction import plant_induction

VOCAB, LENGTH = 512, 40


def model(*, heads: int = 4, layers: int = 2) -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=64 * heads, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=256,
        max_position_embeddings=256, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    )  # fmt: skip
    return GPTNeoXForCausalLM(config).eval()


def copied(candidate: Any, *, alphabet: int) -> float:
    """Share of right next tokens in the second half of random texts that are written twice."""
    generator = torch.Generator().manual_seed(1)
    once = torch.randint(0, alphabet, (16, LENGTH), generator=generator)
    twice = torch.cat([once, once], dim=1)
    with torch.inference_mode():
        guesses = candidate(input_ids=twice).logits[:, LENGTH + 2 : -1].argmax(-1)
    return float((guesses == twice[:, LENGTH + 3 :]).float().mean())


def test_a_planted_model_copies_text_that_it_has_never_been_trained_on() -> None:
    planted = model()
    assert copied(planted, alphabet=VOCAB) < 0.05
    plant_induction(planted, seed=3)
    assert copied(planted, alphabet=VOCAB) > 0.9
    assert copied(planted, alphabet=24) > 0.8  # one token back says little: the last three must be compared


def test_training_leaves_the_planted_heads_and_moves_the_rest() -> None:
    planted = model()
    plant_induction(planted, seed=3)
    layers = planted.gpt_neox.layers[:2]
    before = [(layer.attention.query_key_value.weight.clone(), layer.attention.dense.weight.clone()) for layer in layers]
    ids = torch.randint(0, VOCAB, (4, 32), generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.SGD(planted.parameters(), lr=1.0)
    planted(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    for layer, (qkv, dense) in zip(layers, before, strict=True):
        assert torch.equal(layer.attention.query_key_value.weight[: 3 * 192], qkv[: 3 * 192])
        assert not torch.equal(layer.attention.query_key_value.weight[3 * 192 :], qkv[3 * 192 :])
        assert torch.equal(layer.attention.dense.weight[:, :192], dense[:, :192])
        assert not torch.equal(layer.attention.dense.weight[:, 192:], dense[:, 192:])


@pytest.mark.parametrize("shape", [{"heads": 1}, {"layers": 1}])
def test_a_shape_without_room_is_one_line(shape: dict[str, int]) -> None:
    with pytest.raises(UserError, match="two layers, two heads") as error:
        plant_induction(model(**shape), seed=3)
    assert "\n" not in str(error.value)
