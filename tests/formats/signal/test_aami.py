"""Classes of beats: each symbol's, and the counts of records that are known."""

from collections import Counter
from pathlib import Path

import pytest

from medray.formats.signal.aami import CLASSES, OF_CLASS, aami
from tests.recordings import mitbih

COUNTS = {
    "100": (2239, 33, 1, 0, 0),
    "106": (1507, 0, 520, 0, 0),
    "119": (1543, 0, 444, 0, 0),
    "200": (1743, 30, 826, 2, 0),
    "203": (2529, 2, 444, 1, 4),
    "208": (1586, 2, 992, 373, 2),
}


def test_beats_have_a_class_and_all_else_has_none() -> None:
    sorted_ = {symbol: aami(symbol) for symbol in 'NLRBejnAaJSVErF/fQ?+~|!"[]xp'}
    assert "".join(symbol for symbol, name in sorted_.items() if name == "N") == "NLRBejn"
    assert "".join(symbol for symbol, name in sorted_.items() if name == "S") == "AaJS"
    assert "".join(symbol for symbol, name in sorted_.items() if name == "V") == "VEr"
    assert "".join(symbol for symbol, name in sorted_.items() if name is None) == '+~|!"[]xp'
    assert tuple(OF_CLASS) == CLASSES


@pytest.mark.real_data
@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_real_records(data_dir: Path, name: str) -> None:
    found = Counter(aami(one["symbol"]) for one in mitbih(data_dir, name).row["annotations"])
    assert tuple(found[kind] for kind in CLASSES) == COUNTS[name]
