"""Columns of text: numbers read as Python reads them, pieces cut as Python cuts them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medray.formats.vcf.text.genotypes import genotypes_of
from medray.formats.vcf.text.lines import Spans


def spans(texts: list[str]) -> Spans:
    data = "".join(f"x{text}" for text in texts).encode()
    lengths = np.array([len(text.encode()) for text in texts], np.int64)
    starts = np.cumsum(lengths + 1) - lengths
    return Spans(np.frombuffer(data, np.uint8), starts, starts + lengths)


NUMBERS = ["1", "-1", "+1", "0.5", ".5", "5.", "1e-3", "-1E+5", "1e400", "1e-400", "inf", "-Inf",
           "Infinity", "NaN", "12345678901234567890", "-0.0"]  # fmt: skip
NONE = ["", ".", "-", "+", "1e", "e1", "0x1", "1 ", " 1", "1_0", "nan(1)", "--1", "1,2", "é"]


@pytest.mark.parametrize("texts", [NUMBERS + NONE, NUMBERS[:2], NONE, ["1", ".", "-2.5"], []])
def test_floats(texts: list[str]) -> None:
    values, good = spans(texts).floats()
    assert good.tolist() == [text not in NONE for text in texts]
    for text, value in zip(texts, values.tolist(), strict=True):
        if text not in NONE:
            assert value == float(text) or (math.isnan(value) and math.isnan(float(text)))


@given(st.lists(st.from_regex(r"[-+]?[0-9]{0,12}[.x]?", fullmatch=True)))
def test_integers(texts: list[str]) -> None:
    values, good = spans(texts).integers()
    for text, value, sound in zip(texts, values.tolist(), good.tolist(), strict=True):
        digits = text.lstrip("+-")
        assert sound == (digits.isdecimal() and len(digits) <= 10)
        assert value == (int(text) if sound else 0)


@given(st.lists(st.text("ab,é", max_size=8)))
def test_split(texts: list[str]) -> None:
    parts, counts = spans(texts).split(ord(","))
    wanted = [text.split(",") for text in texts]
    assert counts.tolist() == [len(each) for each in wanted]
    assert parts.strings().to_pylist() == [part for each in wanted for part in each]


@given(
    st.lists(st.from_regex(r"[|/]?([0-9.]{1,2}[|/]){0,3}[0-9.]{0,2}", fullmatch=True), max_size=9)
)
def test_genotypes(texts: list[str]) -> None:
    got = genotypes_of(spans(texts))
    for number, text in enumerate(texts):
        clean = text[1:] if text[:1] in ("|", "/") else text
        parts = clean.replace("/", "|").split("|")
        sound = text == "" or all(part == "." or part.isdecimal() for part in parts)
        assert got.bad[number] == (not sound), text
        if sound:
            alleles = [int(part) if part.isdecimal() else -1 for part in parts]
            width = got.alleles.shape[1]
            assert got.alleles[number].tolist() == alleles + [-2] * (width - len(alleles))
            assert got.phased[number] == ("/" not in text)
            assert got.ploidy[number] == len(alleles)
