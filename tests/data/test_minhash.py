import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medllm.data.minhash import NUM_PERM, alike, bands, grams, jaccard, letters, signatures


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_find_what_is_as_alike_as_the_threshold(threshold: float) -> None:
    number, rows = bands(threshold)
    assert number * rows <= NUM_PERM
    assert 1 - (1 - threshold**rows) ** number >= 0.999


def changed(text: str, places: list[int]) -> str:
    return "".join("변" if place in places else letter for place, letter in enumerate(text))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 79), max_size=6), st.integers(0, 10**6))
def test_signatures_estimate_jaccard(places: list[int], seed: int) -> None:
    text = "".join(random.Random(seed).choices([chr(0xAC00 + number) for number in range(2000)], k=80))
    other = changed(text, places)
    matrix = signatures([text, other], size=3)
    true = jaccard(grams(text, 3), grams(other, 3))
    assert abs(float((matrix[0] == matrix[1]).mean()) - true) < 0.22  # five standard deviations at a half


def test_signatures_do_not_depend_on_the_batch() -> None:
    texts = ["가", "", "가나다라마바사", "마바사아자차", "가나다"]
    together = signatures(texts, size=3)
    for row, text in enumerate(texts):
        assert (signatures([text], size=3) == together[row]).all()


def test_every_near_pair_is_found_and_only_within_its_block() -> None:
    import numpy as np

    rng = random.Random(1)
    texts = ["".join(rng.choices([chr(0xAC00 + number) for number in range(900)], k=60)) for _ in range(300)]
    texts += [changed(text, rng.sample(range(60), number % 4)) for number, text in enumerate(texts[:150])]
    sets = [grams(text, 3) for text in texts]
    wanted = {(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts)) if jaccard(sets[i], sets[j]) >= 0.8}
    assert len(wanted) > 70
    matrix = signatures(texts, size=3)
    found = list(alike(matrix, np.zeros(len(texts), dtype=np.uint64), threshold=0.8))
    assert len(found) == len(set(found))
    assert all(i < j for i, j in found)
    assert wanted <= set(found)
    blocks = np.arange(len(texts), dtype=np.uint64)
    assert list(alike(matrix, blocks, threshold=0.8)) == []
    assert list(alike(matrix[:0], blocks[:0], threshold=0.8)) == []


def test_letters_keep_what_carries_meaning() -> None:
    assert letters(" 혈압 120/80,  Hb 9.8 g/dL \u200b(①½㎎+) ") == "혈압12080hb98gdl①½㎎+"
