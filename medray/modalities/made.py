"""What predictions hold, known before there is a model."""

from dataclasses import dataclass

from medray.storage.shards.holds import names

ANSWERED = names(
    ("probability", "predicted", "prediction_set", "low", "high", "risk", "alerts"),
    ("median", "times", "survival", "survival_at", "incidence"),
    ("y0", "y1", "effect", "propensity", "observed0", "observed1"),
)
"""Columns that one task or another makes of an answer."""


@dataclass(frozen=True)
class Made:
    """What predictions hold of each sample.

    Args:
        arrays: their names.
        columns: beside those of the sample that is answered.
        scorable: whether they are answers, which can be held against the truth.
        of_kept: whether they take what a package keeps (medray.modalities.kept).
    """

    arrays: frozenset[str] = frozenset()
    columns: frozenset[str] = ANSWERED
    scorable: bool = True
    of_kept: bool = False
