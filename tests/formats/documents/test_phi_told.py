"""The gate: ages over 89 and lines of letters, in whatever form they are told."""

import re

import pytest

from tests.formats.documents import test_phi
from tests.formats.documents.test_phi import passed

_key = test_phi._key


@pytest.mark.parametrize(
    "told",
    [
        "she is 92", "he's 95", "He\u2019s 95", "I'm ninety-three", "a 93 yo", "age is 92",
        "Age (years): 93", "92/F", "M/94", "AGE/SEX: 92/M", "92 y F", "A 95 female", "99 woman",
        "in her 90s", "in his mid-90s", "in their late nineties", "her ninetieth birthday",
        "mother, 92, alive", "father died at 95", "lived to be 101", "passed away at ninety two",
        "Smith, 93, was seen", "nonagenarian", "91 years", "aged 90-94", "who is almost 95",
        "turned one hundred and two", "ninety-two and a half years old", "the patient was 91.",
        "At 93 she reads", "now 94, he drives", "will turn 92", "age today 96", "she'll be 97",
    ],
)  # fmt: skip
def test_an_age_over_89_is_one_however_it_is_told(told: str) -> None:
    for text in (told, f"Seen today.\n{told} and well."):
        made = passed(text).text
        assert "[90 or over]" in made
        assert not re.search(r"(?i)9\d|101|ninet|hundred|nonag", made.replace("[90 or over]", ""))


@pytest.mark.parametrize(
    "text",
    [
        "she is 95% on room air, he's 92 kg, HR was 95, he is 98.6, she was 110/70",
        "I am 100 percent sure, I'm a hundred percent sure, you are ninety pounds",
        "sats in the 90s, 95 patients, 95-year survival, over the past 100 years",
        "he is 90 minutes late, she was 95 to 98%, they were 100 feet away, 100 male patients",
        "RE: Knee Pain\nSubject: Refill Request\nTo: Whom It May Concern\nFrom: ICU\nAttn: labs",
        "Patient: Nope. I'm Fine\nPatient: Thank You, Doctor.\nwe're: Good Times, re: labs",
    ],
)
def test_what_only_looks_like_an_age_or_a_name_stays(text: str) -> None:
    assert passed(text).text == text


@pytest.mark.parametrize(
    "line",
    [
        "RE: Xi Quodling", "Re: Quodling, Xi", "RE: XI QUODLING   DOB: 3/4/1950", "RE: X. Quodling",
        "Regarding: Xi B. Quodling", "Ref: Xi Quodling, MRN 123456", "Attn: Xi Quodling",
        "To: Xi Quodling", "From: Xi Quodling", "Subject: Xi Quodling MRI Results",
        "Dictated. In re: Xi Quodling's scan", "Patient: Xi Quodling",
        "Re.: Xi Quodling", "In the matter of: Xi Quodling", "Our patient: Xi Quodling",
    ],
)  # fmt: skip
def test_lines_of_letters_say_whom_they_are_about(line: str) -> None:
    made = passed(f"Seen.\n{line}\nLungs are Clear. QUODLING agrees.").text
    assert not re.search(r"(?i)quodling|\bxi\b", made)
    assert "Lungs are Clear." in made
