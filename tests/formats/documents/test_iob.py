"""Tags to entities by the grammar of each scheme, and back."""

import pytest

from medray.errors import DataError
from medray.formats.documents.iob import entities_of, tags_of


@pytest.mark.parametrize(
    ("scheme", "tags", "wanted"),
    [
        ("iob2", "O B-x I-x B-x O B-y", [(1, 3, "x"), (3, 4, "x"), (5, 6, "y")]),
        ("iob2", "B-x I-x", [(0, 2, "x")]),
        ("iob2", "B-a-b I-a-b", [(0, 2, "a-b")]),
        ("iob1", "I-x I-x B-x O I-y I-x", [(0, 2, "x"), (2, 3, "x"), (4, 5, "y"), (5, 6, "x")]),
        ("iobes", "S-x B-y I-y E-y O B-x E-x", [(0, 1, "x"), (1, 4, "y"), (5, 7, "x")]),
        ("iobes", "O", []),
        ("iob2", "", []),
    ],
)
def test_entities_of_each_scheme(
    scheme: str, tags: str, wanted: list[tuple[int, int, str]]
) -> None:
    assert entities_of(tags.split(), scheme) == wanted


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("iob2", "O I-x"),  # an inside without a beginning
        ("iob2", "B-x I-y"),
        ("iob2", "B-x E-x"),
        ("iob2", "B"),
        ("iob2", "B-"),
        ("iob2", "x"),
        ("iob2", "b-x"),
        ("iob1", "O B-x"),  # in IOB1 a B parts two entities of one type
        ("iob1", "S-x"),
        ("iobes", "B-x O"),  # not ended
        ("iobes", "B-x"),
        ("iobes", "B-x S-x"),
        ("iobes", "E-x"),
        ("iobes", "S-x I-x"),
    ],
)
def test_tags_that_break_the_scheme_are_refused(scheme: str, tags: str) -> None:
    with pytest.raises(DataError, match="bad-tag"):
        entities_of(tags.split(), scheme)


def test_tags_of_entities_are_iob2_and_nested_ones_have_none() -> None:
    assert tags_of([(0, 2, "x"), (2, 3, "x")], 4) == ["B-x", "I-x", "B-x", "O"]
    with pytest.raises(DataError, match="nested-spans"):
        tags_of([(0, 2, "x"), (1, 3, "y")], 4)
