"""The guard: what is made of a subject as it was known at a time has to be what was made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from medray.errors import FatalError
from medray.steps.transform.transforms.cohort.subjects import Subjects
from medray.storage.shards.rows import EndToEnd

Make = Callable[[Subjects, np.ndarray, np.ndarray], Mapping[str, EndToEnd]]
"""Arrays of samples: of subjects, whose, and when."""


@dataclass(frozen=True)
class Guard:
    """Makes some samples again of events that are cut at the prediction time.

    Args:
        make: what makes arrays.
        count: samples to look at, evenly over all.
        inclusive: what happened at the very time is known.
    """

    make: Make
    count: int
    inclusive: bool

    def check(
        self,
        subjects: Subjects,
        who: np.ndarray,
        time: np.ndarray,
        made: Mapping[str, EndToEnd],
    ) -> None:
        """Hold what was made against what is made of what was known alone.

        Args:
            subjects: with all that came later.
            who: number of each sample's subject, int64 (n,).
            time: of each prediction, int64 (n,).
            made: what `make` made of them.

        Raises:
            FatalError: they differ in a byte: something of the future has reached the features
                (code "future-in-features").
        """
        ends = {name: np.cumsum(one.lengths) for name, one in made.items()}
        chosen = np.linspace(0, len(who) - 1, min(self.count, len(who))).astype(np.int64)
        for at in np.unique(chosen).tolist():
            cut = subjects.cut(int(who[at]), int(time[at]), inclusive=self.inclusive)
            again = self.make(cut, np.zeros(1, np.int64), time[at : at + 1])
            for name, one in made.items():
                mine = one.values[ends[name][at] - one.lengths[at] : ends[name][at]]
                if mine.tobytes() != again[name].values.tobytes():
                    raise FatalError(
                        "what was not known at the prediction time has reached the samples",
                        code="future-in-features",
                        about=name,
                        hint="the transformation is wrong; nothing of it is kept",
                    )
