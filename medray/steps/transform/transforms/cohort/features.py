"""What is known of subjects at prediction times, as arrays: numbers by code, or sequences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.errors import SpecError
from medray.formats.events.columns import NEVER
from medray.formats.events.times import MICROSECONDS, duration
from medray.steps.transform.transforms.cohort.moments import ages
from medray.steps.transform.transforms.cohort.options import CohortOptions, Features, Sequences
from medray.steps.transform.transforms.cohort.subjects import Subjects, matcher
from medray.storage.shards.rows import EndToEnd

FEATURES, CODES, HOURS = "features", "codes", "hours"
OTHER = 1  # number of a code in sequences that is none of the chosen; 0 stands for no event
OLD = 90.0  # years: who is older is told to be of any age in records without names
PAIRS = 2**22  # of a sample and an event that are looked at together


@dataclass(frozen=True)
class Seen:
    """Events that were known at prediction times: pairs of a sample and an event.

    Args:
        sample: number of the sample, ascending (pairs,).
        event: place of the event, ascending of each sample (pairs,).
    """

    sample: np.ndarray
    event: np.ndarray


def seen(subjects: Subjects, who: np.ndarray, time: np.ndarray, *, inclusive: bool) -> Seen:
    """What had happened, and was known."""
    low = subjects.starts[who]
    counts = subjects.before(who, time, "right" if inclusive else "left") - low
    sample = np.repeat(np.arange(len(who)), counts)
    behind = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    event = low[sample] + behind
    known = subjects.available[event]
    there = known <= time[sample] if inclusive else known < time[sample]
    return Seen(sample[there], event[there])


def chosen(codes: Sequence[Sequence[Any]], how: Features | Sequences) -> list[str]:
    """The codes that most training subjects have, of those that may be taken.

    Args:
        codes: [code, training subjects, events], the commonest first.
        how: the job's word.

    Raises:
        SpecError: there is none (code "no-codes").
    """
    allowed, refused = matcher(how.only or ("*",)), matcher(how.without)
    found = [
        code
        for code, subjects, _ in codes
        if subjects >= how.min_subjects and allowed(code) and not refused(code)
    ]
    if not found:
        raise SpecError(
            f"no code is had by {how.min_subjects} training subjects",
            code="no-codes",
            hint="lower `min_subjects`; where there are splits, codes are chosen on `train`",
        )
    return found[: how.codes]


class Maker:
    """Makes arrays of samples.

    Args:
        options: of the cohort.
        codes: that have columns, or numbers, in order.
    """

    def __init__(self, options: CohortOptions, codes: Sequence[str]) -> None:
        self.options, self.codes = options, list(codes)

    @property
    def names(self) -> list[str]:
        """Of the features, in order."""
        wanted = self.options.features
        if wanted is None:
            return []
        made = [f"count({code}, {window})" for window in wanted.windows for code in self.codes]
        made = made if "count" in wanted.make else []
        for what, word in (("last", "last"), ("since", "hours since")):
            made += [f"{word}({code})" for code in self.codes] if what in wanted.make else []
        return [*made, "age"] if wanted.age else made

    def arrays(
        self, subjects: Subjects, who: np.ndarray, time: np.ndarray
    ) -> Mapping[str, EndToEnd]:
        """Arrays of samples.

        Args:
            subjects: whose they are.
            who: number of the subject, int64 (n,).
            time: of the prediction, int64 (n,).
        """
        column = {code: at for at, code in enumerate(self.codes)}
        columns = np.array([column.get(name, -1) for name in subjects.names], np.int64)
        parts = []
        for some in _parts(subjects, who):
            one = seen(subjects, who[some], time[some], inclusive=self.options.inclusive)
            asked = self.options.chosen
            if isinstance(asked, Features):
                made = self._features(asked, subjects, columns, who[some], time[some], one)
            else:
                made = _sequences(asked, subjects, columns, time[some], one)
            parts.append(made)
        return {
            name: EndToEnd(
                np.concatenate([part[name].values for part in parts]),
                np.concatenate([part[name].lengths for part in parts]),
            )
            for name in parts[0]
        }

    def _features(
        self,
        wanted: Features,
        subjects: Subjects,
        columns: np.ndarray,
        who: np.ndarray,
        time: np.ndarray,
        known: Seen,
    ) -> dict[str, EndToEnd]:
        count, width = len(who), len(self.codes)
        column = columns[subjects.code[known.event]]
        told = column >= 0
        sample, event, column = known.sample[told], known.event[told], column[told]
        place, when = sample * width + column, subjects.time[event]
        made: list[np.ndarray] = []
        if "count" in wanted.make:
            for window in wanted.windows:
                there = place
                if window != "all":
                    recent = (when >= time[sample] - duration(window)) | (when == NEVER)
                    there = place[recent]
                found = np.bincount(there, minlength=count * width)
                made.append(found.reshape(count, width).astype(np.float32))
        for what in ("last", "since"):
            if what in wanted.make:
                of_value = np.isfinite(subjects.value[event]) if what == "last" else when != NEVER
                last = np.full(count * width, -1, np.int64)
                last[place[of_value]] = event[of_value]  # of one place the latest stays
                there = np.flatnonzero(last >= 0)
                values = np.full(count * width, np.nan, np.float32)
                if what == "last":
                    values[there] = subjects.value[last[there]]
                else:
                    ago = time[there // max(1, width)] - subjects.time[last[there]]
                    values[there] = ago / MICROSECONDS["hour"]
                made.append(values.reshape(count, width))
        if wanted.age:
            years = np.minimum(ages(subjects, who, time), OLD)
            made.append(years.astype(np.float32)[:, None])
        whole = np.concatenate(made, axis=1)
        return {FEATURES: EndToEnd(whole.ravel(), np.full(count, whole.shape[1], np.int64))}


def _sequences(
    wanted: Sequences, subjects: Subjects, columns: np.ndarray, time: np.ndarray, known: Seen
) -> dict[str, EndToEnd]:
    lengths = np.bincount(known.sample, minlength=len(time))
    # Of each sample the last ones.
    behind = np.cumsum(lengths)[known.sample] - np.arange(len(known.sample))
    kept = behind <= wanted.most
    sample, event = known.sample[kept], known.event[kept]
    code = columns[subjects.code[event]]
    ago = (time[sample] - subjects.time[event]) / MICROSECONDS["hour"]
    always = subjects.time[event] == NEVER
    lengths = np.minimum(lengths, wanted.most)
    return {
        CODES: EndToEnd(np.where(code < 0, OTHER, code + OTHER + 1).astype(np.int32), lengths),
        HOURS: EndToEnd(np.where(always, np.nan, ago).astype(np.float32), lengths),
    }


def _parts(subjects: Subjects, who: np.ndarray) -> Iterator[slice]:
    """Samples on end whose subjects have so many events together, at least one sample."""
    sizes = np.cumsum(subjects.starts[who + 1] - subjects.starts[who])
    start = 0
    while start < len(who):
        before = sizes[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(sizes, before + PAIRS, side="right")))
        yield slice(start, stop)
        start = stop
