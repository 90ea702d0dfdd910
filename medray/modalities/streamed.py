"""A prepared sample that is longer than what is held: a recording, of which parts pass by."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Self, cast

import numpy as np

from medray.errors import DataError
from medray.storage.shards.samples import Sample


class Streamed(Sample):
    """A prepared sample that is read while it is answered, so by itself and not in a batch."""

    def answer(self) -> Sample:
        """The output sample.

        Raises:
            DataError: the network's output is NaN or Inf (code "nonfinite-output").
        """
        raise NotImplementedError

    def beside(self, others: Sequence[Self]) -> Self:
        """The same sample, answered by the mean of what several networks say along it.

        Args:
            others: as other networks have prepared it; they differ from this one in weights alone.
        """
        raise NotImplementedError


def held(samples: list[Sample]) -> list[Sample]:
    """The samples, none of which is streamed.

    Raises:
        DataError: one is (code "model-mismatch").
    """
    if any(isinstance(one, Streamed) for one in samples):
        raise DataError(
            "a recording is answered along itself, not by one row",
            code="model-mismatch",
            hint="ask it by its own, and not together with others",
        )
    return samples


def apart(
    samples: Sequence[Sample],
    answers: Callable[[list[Sample]], np.ndarray],
    finish: Callable[[Sample, np.ndarray], Sample],
) -> Iterator[Sample]:
    """An output sample for each prepared one, in order.

    Args:
        samples: of which streamed ones are answered one by one.
        answers: of some of the others together, those that follow each other.
        finish: makes the output sample of an answer.
    """
    for alone, some in groupby(samples, lambda one: isinstance(one, Streamed)):
        if alone:
            yield from (cast("Streamed", one).answer() for one in some)
        else:
            together = list(some)
            for sample, answer in zip(together, answers(together), strict=True):
                yield finish(sample, answer)
