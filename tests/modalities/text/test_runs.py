"""A long run of one character in a text takes no longer than it is: 20,000 blanks took 7 s."""

import time

import pytest

from medray.modalities.text.sentences import sentences
from medray.tasks.metrics.rouge import quantities


@pytest.mark.parametrize("piece", [" ", "\t", "\n", " \n", ". ", "<", "1", "1,000", "-"])
def test_runs_take_no_longer_than_they_are(piece: str) -> None:
    text = f"a{piece * (300_000 // len(piece))}b"
    begun = time.process_time()
    assert sentences(text)
    quantities(text)
    assert time.process_time() - begun < 20
