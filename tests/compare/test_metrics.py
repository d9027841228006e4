import pytest

from medllm.compare.metrics import METRICS, find_metric


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("sample_accuracy_answer_low", "accuracy_answer"),
        ("bits_per_byte", "bits_per_byte"),
        ("decode_ratio_to_a_high", "decode_ratio_to_a"),
    ],
)
def test_metric_names(name: str, plain: str) -> None:
    assert find_metric(name, where="x") is METRICS[plain]
