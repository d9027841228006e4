"""Particles follow the last sound of the word."""

import pytest

from medllm.data.particles import attach


@pytest.mark.parametrize(
    ("word", "particle", "expected"),
    [
        ("당뇨병", "은/는", "당뇨병은"),
        ("감기", "은/는", "감기는"),
        ("고혈압", "을/를", "고혈압을"),
        ("폐렴", "이/가", "폐렴이"),
        ("천식", "과/와", "천식과"),
        ("치매", "이/가", "치매가"),
        ("대상포진", "이라고/라고", "대상포진이라고"),
        ("빈혈", "이라는/라는", "빈혈이라는"),
        ("감기", "이라는/라는", "감기라는"),
        ("위염", "으로/로", "위염으로"),
        ("감기", "으로/로", "감기로"),
        ("빈혈", "으로/로", "빈혈로"),
        ("서울", "으로/로", "서울로"),
        ("빈혈", "은/는", "빈혈은"),
        ("MRI", "은/는", "MRI는"),
        ("CT", "을/를", "CT를"),
        ("PCR", "은/는", "PCR은"),
        ("PCR", "으로/로", "PCR로"),
        ("HDL", "이/가", "HDL이"),
        ("hdl", "으로/로", "hdl로"),
        ("BUN", "으로/로", "BUN으로"),
        ("hCG", "을/를", "hCG를"),
        ("비타민 B1", "은/는", "비타민 B1은"),
        ("비타민 B1", "으로/로", "비타민 B1로"),
        ("비타민 B12", "을/를", "비타민 B12를"),
        ("B6", "으로/로", "B6으로"),
        ("코로나-19", "이/가", "코로나-19가"),
        ("10", "은/는", "10은"),
        ("위식도역류질환(GERD)", "은/는", "위식도역류질환(GERD)는"),
        ("검사 ", "을/를", "검사 를"),
        ("?!", "은/는", "?!는"),
        ("", "은/는", "는"),
        ("내과", "에/에", "내과에"),
    ],
)
def test_particle(word: str, particle: str, expected: str) -> None:
    assert attach(word, particle) == expected


@pytest.mark.parametrize("final", range(28))
def test_every_final_consonant(final: int) -> None:
    word = chr(0xAC00 + final)
    assert attach(word, "은/는") == word + ("은" if final else "는")
    assert attach(word, "으로/로") == word + ("로" if final in (0, 8) else "으로")
