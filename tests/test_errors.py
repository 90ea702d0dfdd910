"""The one table of exit statuses, read in both directions."""

import pytest

from medray.errors import (
    FINAL,
    DamageError,
    DataError,
    FatalError,
    InterruptedRun,
    MedrayError,
    PassedOver,
    RetryableError,
    SpecError,
    error_of,
    gravest,
    status_of,
)


@pytest.mark.parametrize(
    ("kind", "status", "asks_for"),
    [
        (FatalError, 1, FatalError),
        (SpecError, 2, SpecError),
        (DataError, 3, DataError),
        (PassedOver, 3, DataError),
        (DamageError, 3, DataError),
        (InterruptedRun, 4, InterruptedRun),
        (RetryableError, 5, RetryableError),
    ],
)
def test_a_status_and_what_it_stands_for(
    kind: type[MedrayError], status: int, asks_for: type[MedrayError]
) -> None:
    assert status_of(kind("it", code="it")) == status
    assert error_of(status) is asks_for
    assert (status in FINAL) is (asks_for not in (InterruptedRun, RetryableError))


def test_what_is_not_of_the_table() -> None:
    assert (status_of(None), status_of(KeyError("k"))) == (0, 1)
    assert [error_of(status) for status in (None, 0, 137)] == [FatalError] * 3


def test_the_gravest_of_several_names_the_run() -> None:
    assert [gravest(given) for given in ([4, 5], [5, 3], [3, 2], [2, 1], [77], [])] == [
        5, 3, 2, 1, 1, 1,
    ]  # fmt: skip
