import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medllm.data.clean import clean_text

SAME = [
    "① 5 ㎎ ½ Ⅳ ㎖ α $\\frac{1}{2}x^{2}$ @COMPANY의 BP 120/80",
    "기다렸다....", "10000000원", "1111-2222", "빈칸 ____에", "AAAAAAA 서열", "……", "#### 제목", "-----",
    "a < b이고 c > d", "p<0.05", "n<30, n>5", "5<a<b>c", "R&D; A&para 효과", "<보기>에서 고르시오", "x <- y",
    "ㄱ. 가설  ㄴ. 검증".replace("  ", " "), "ㄱ, ㄴ", "ㄱ과 ㄴ", "ㄴ 첨가", "ㅋㅋ", "하하하", "네!!",
    "가·나ㆍ다‧라・마", "3~5일, 3–5일, 3—5일",
    "나랏말\u110a\u119e미 \u1112\u119e\u11ab글",  # Old Hangul, which NFC cannot compose
    "$a &lt; b  ... !!!! <b>$", "$$\nx  <b>y</b>\n$$", "$ \\alpha  \\beta $",
    "문의: cs@company.co.kr", "@hong_gildong",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_what_bears_meaning_stays(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (unicodedata.normalize("NFD", "고혈압"), "고혈압"),
        ("가\u200b나\ufeff다\u3164라\u00ad마\uffa0바\u115f사", "가나다라마바사"),
        ("가\u00a0나\u3000다\t라", "가 나 다 라"),
        ("물음?  \n1) 가  \r\n2) 나", "물음?\n1) 가\n2) 나"),
        ("  가   나 \n\n\n\n 다  ", "가 나\n\n다"),
        ("가\x00나\x07", "가나"),
        ("가나\u1100다 \u1161 \u11a8끝", "가나다 끝"),
        ("ㅋㅋㅋㅋㅋ ㅠㅠㅠㅠ", "ㅋㅋ ㅠㅠ"),
        ("아아아아아 너무 아파요!!!!!! 왜요????~~~~", "아아 너무 아파요!! 왜요??~~"),
        ("ＡＢＣ（１２３）：５％", "ABC(123):5%"),
        ("<p>첫 줄</p><p>둘째&nbsp;줄</p>", "첫 줄\n\n둘째 줄"),
        ("가<br/>나<BR>다", "가\n나\n다"),
        ('<a href="http://x.kr?a=1&b=2">링크</a> <span class=big>글</span>', "링크 글"),
        ("10<sup>3</sup>/µL, H<sub>2</sub>O, x<sup>가</sup>", "10³/µL, H2O, x^가"),
        ("p &lt; 0.05 &amp;amp; &#8451; &copy;", "p < 0.05 & ℃ ©"),
        ("&lt;b&gt;굵게&lt;/b&gt;", "굵게"),
        ("＜ｂ＞굵게＜／ｂ＞", "굵게"),
        ("<!-- 주석 --><style>p{}</style>본문<script>var a;</script>", "본문"),
        ("<table><tr><td>가</td><td>나</td></tr></table>", "가 나"),
        ("@company의 @Product1가 ＠brand는 @slogan.", "@COMPANY의 @PRODUCT1가 @BRAND는 @SLOGAN."),
        ("비용은 $5, <b>값</b>은 $10입니다", "비용은 $5, 값은 $10입니다"),
        ("값은  $x  <  y$  입니다", "값은 $x  <  y$ 입니다"),
        ("", ""),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


DIRT = [
    "&", "amp;", "lt;", "<", ">", "b", "/", "$", "\\", "^", "5", " ", "\n", "\r", "\u200b", "\u00a0", "＜", "＄", "＆", "；", "\u1100",
    "\u1161", "\u11a8", "\u119e", "가", "각", "아", "ㅋ", "!", "@", "company", "sup", "br", "&#x200b;", "&nbsp;", "\u0301", "a", "=", '"',
]  # fmt: skip


@given(st.one_of(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), st.lists(st.sampled_from(DIRT),
        max_size=25).map("".join)))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()
    if "$" not in once:
        assert "  " not in once


@given(st.text(alphabet="abxyz0123456789 \\{}^_=+-*/<>&;!.,()|", min_size=1, max_size=40).map(str.strip).filter(bool))
def test_a_formula_is_kept_byte_for_byte(formula: str) -> None:
    assert f"${formula}$" in clean_text(f"<b>값</b>은  ${formula}$ 이다!!!!")
