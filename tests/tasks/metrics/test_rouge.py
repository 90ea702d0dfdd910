"""ROUGE as rouge-score has it, and quantities that it can't see."""

import pytest

from medray.tasks.metrics.rouge import agreement, quantities, rouge

# F-measures of rouge-score 0.1.2, RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).
WOMAN = "The patient is a 76-year-old woman with pain in the left knee."
PAIRS = [
    ("The patient has pain.", "the patient HAS pain", (1.0, 1.0, 1.0)),
    (
        WOMAN,
        "she is 76 years old and has knee pain, the left one",
        (0.538462, 0.083333, 0.461538),
    ),
    ("no fever no chills no pain", "pain no chills fever no", (0.909091, 0.444444, 0.545455)),
    ("alpha beta", "gamma", (0.0, 0.0, 0.0)),
    ("alpha beta", "", (0.0, 0.0, 0.0)),
    ("Take 50 µg daily.", "Take 50 g daily.", (1.0, 1.0, 1.0)),
    ("naïve café, don't", "na ve caf don t", (1.0, 1.0, 1.0)),
]


@pytest.mark.parametrize(("reference", "text", "wanted"), PAIRS)
def test_rouge_is_that_of_rouge_score(
    reference: str, text: str, wanted: tuple[float, float, float]
) -> None:
    assert rouge(reference, text) == pytest.approx(wanted, abs=1e-6)


def test_quantities_have_sign_number_and_unit() -> None:
    found = quantities(
        "BP >= 140 mmHg, 1,000 mL/h or 1000.0 ml/h, 50 µg, 50 mcg, 5 %, <3.5, 4th, T4"
    )
    assert found == {
        ("≥", "140", "mmhg"): 1,
        ("", "1000", "ml/h"): 2,
        ("", "50", "µg"): 2,
        ("", "5", "%"): 1,
        ("<", "3.5", ""): 1,
        ("", "4", ""): 1,
    }


@pytest.mark.parametrize(
    ("reference", "text", "wanted"),
    [
        ("50 µg", "50 g", (0, 1, 1)),
        ("< 3.5", "> 3.5", (0, 1, 1)),
        ("20 years, 3 days", "3 day and 20 year", (2, 2, 2)),
        ("5 mg and 5 mg", "5 mg", (1, 2, 1)),
        ("seven", "7", (0, 0, 1)),
        ("-3.5 to 4-5", "3.5, 4 and 5", (2, 3, 3)),
    ],
)
def test_quantities_agree_exactly_or_not(
    reference: str, text: str, wanted: tuple[int, int, int]
) -> None:
    assert agreement(reference, text) == wanted
