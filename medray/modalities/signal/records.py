"""Whole records: what a network says along a recording, and the intervals that come of it.

A network that answers sample by sample streams over it (`streaming`); one that answers for windows
is asked for windows that follow each other at a step. Stretches between gaps stand alone, and
another rate is brought to the network's on the way. Nothing is as long as the record.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import torch

from medray.data.ahead import read_ahead
from medray.errors import DataError
from medray.formats.signal.leads import Leads, Stretch, kept, wanted_of
from medray.formats.signal.recording import Annotation
from medray.modalities.ask import Averaged, ask
from medray.modalities.base import Asking, Trained
from medray.modalities.signal.inputs import Signals, mismatch, scaled
from medray.modalities.signal.intervals import Interval, Intervals, column_of
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.signal.streaming import WINDOW, streamed
from medray.modalities.streamed import Streamed
from medray.models.base import Network
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.stored import Stored
from medray.tasks.base import Task

PROBABILITY = ArraySpec(
    (Axis("class"), Axis("time", "time", "second")), ("float32",), chunk=(None, 2**16)
)


class Places(Protocol):
    """A network that answers sample by sample, of a finite stretch."""

    divisor: int
    margin: int


class AveragedPlaces(Averaged):
    """Several such networks as one; they see as far."""

    def __init__(self, networks: Sequence[Network], task: Task) -> None:
        super().__init__(networks, task)
        first = cast("Places", networks[0])
        self.divisor, self.margin = first.divisor, first.margin


@dataclass
class Recording(Streamed):
    """A recording that is prepared: its leads at the networks' rate, yet to be read.

    Args:
        leads: of it.
        networks: that are asked along it, for the mean of what they say.
    """

    leads: Leads = field(kw_only=True)
    networks: tuple["Records", ...] = field(kw_only=True)

    def answer(self) -> Sample:
        """See Records.answer."""
        return self.networks[0].answer(self)

    def beside(self, others: "Sequence[Recording]") -> "Recording":
        """See Streamed."""
        more = [one for other in others for one in other.networks]
        return replace(self, networks=(*self.networks, *more))


class Records:
    """A model of signals, asked about recordings.

    Args:
        trained: the model; of answers for windows it has neither context nor columns.
        asked: how, with `SignalPredictOptions`.
    """

    def __init__(self, trained: Trained, asked: Asking) -> None:
        self.trained, self.asked = trained, asked
        self.plan = cast("SignalPlan", trained.plan)
        self.by_sample = trained.task.answers == "place"

    def prepare(self, stored: Stored) -> Recording:
        """The row, and how leads are read.

        Raises:
            DataError: the recording has not the model's leads ("no-such-lead"), or no rate that
                can be brought to the model's ("model-mismatch"); or the model calls no one class
                ("calls-no-class").
        """
        if self.plan.context or self.plan.columns:
            raise mismatch("the model takes a context or columns, which a recording has not")
        if not self.by_sample:
            called = self.trained.task.decide(np.zeros(len(self.plan.classes))).get("predicted")
            if not isinstance(called, str):
                raise DataError(
                    "along a recording the model calls no class: it has no threshold, or several "
                    "labels go together",
                    code="calls-no-class",
                    about=self.trained.reference,
                    hint="give the task a `threshold`, or validate the training; or learn classes",
                )
        leads = Leads(stored, wanted_of(stored.row, self.plan.leads), self.plan.rate)
        row = kept(stored.row, ("start_time", "duration_s", "channels", "segments", "frame_rate"))
        return Recording(stored.id, row, leads=leads, networks=(self,))

    def answer(self, recording: Recording) -> Sample:
        """Intervals in the columns `annotations` and `interval_probability` (or what
        `column_of` says); where probabilities are asked for the array `probability` (classes,
        time), sample by sample.

        Raises:
            DataError: the network's output is NaN or Inf (code "nonfinite-output").
        """
        made = Sample(recording.id, dict(recording.row))
        parts = self._collected(recording, made.row)
        if self.asked.options.probabilities and self.by_sample:
            length = sum(one.size for one in recording.leads.stretches)
            shape = (len(self.plan.classes), length)
            made.arrays["probability"] = Slabs(shape, np.dtype(np.float32), 1, parts)
        else:
            for _ in parts:
                pass
        return made

    def _collected(self, recording: Recording, row: dict[str, Any]) -> Iterator[np.ndarray]:
        """Probabilities in passing; once all have passed, the row holds what came of them."""
        leads, rate = recording.leads, self.plan.rate
        row["rate"], annotations, sure = rate, [], []
        for stretch in leads.stretches:
            along = self._by_sample if self.by_sample else self._by_window
            unit = rate if self.by_sample else rate / self._step
            found = Intervals(
                self._background,
                least=max(1, math.ceil(self.asked.options.min_s * unit)),
                gap=math.floor(self.asked.options.gap_s * unit),
            )
            for part in along(recording, stretch):
                found.add(*self._called(part))
                yield part
            for one in found.end():
                annotations.append(dict(vars(self._annotation(one, stretch, leads))))
                sure.append(one.probability)
        row["annotations"], row[column_of(self.trained.task.answers)] = annotations, sure

    def _called(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Of what is said (classes, answers) a number for each class, and which is called."""
        if self.by_sample:
            return part, None
        task = self.trained.task
        names = [task.decide(answer)["predicted"] for answer in part.T]
        labels = np.array([self.plan.classes.index(name) for name in names])
        return np.broadcast_to(part, (len(self.plan.classes), len(names))), labels

    def _annotation(self, one: Interval, stretch: Stretch, leads: Leads) -> Annotation:
        start, stop = (self._place(at, stretch) for at in (one.start, one.stop))
        onset = stretch.onset_s + start / self.plan.rate
        return Annotation(
            self.asked.options.annotator or self.trained.reference.partition("@")[0],
            onset,
            (stop - start) / self.plan.rate,
            self.plan.classes[one.kind],
            sample=round(onset * leads.recorded_rate),
        )

    def _place(self, at: int, stretch: Stretch) -> int:
        """The sample of a stretch where an answer begins: a window's are those nearest to its
        middle."""
        if self.by_sample or at == 0:
            return at
        windows = self._windows(stretch)
        return stretch.size if at >= windows else at * self._step + self._before

    @property
    def _before(self) -> int:
        return (self.plan.length - self._step) // 2

    @property
    def _step(self) -> int:
        """Samples from window to window; half a window unless the job says."""
        step = self.asked.options.step_s
        return max(1, round(step * self.plan.rate) if step else self.plan.length // 2)

    def _windows(self, stretch: Stretch) -> int:
        return max(0, (stretch.size - self.plan.length) // self._step + 1)

    @property
    def _background(self) -> int | None:
        name = self.asked.options.background
        if name is None:
            return 0
        return self.plan.classes.index(name) if name else None

    def _by_sample(self, recording: Recording, stretch: Stretch) -> Iterator[np.ndarray]:
        network = cast("Places", self.trained.network)
        step, leads = WINDOW, recording.leads

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, stretch.size, step):
                stop = min(start + step, stretch.size)
                yield leads.physical(leads.fresh(stretch, start, stop))

        def answer(physical: np.ndarray) -> np.ndarray:
            return _mean(recording, physical)

        ahead = read_ahead(blocks())
        try:
            yield from streamed(
                ahead, answer, divisor=network.divisor, margin=network.margin, window=step
            )
        finally:
            ahead.close()

    def _by_window(self, recording: Recording, stretch: Stretch) -> Iterator[np.ndarray]:
        length, step, batch = self.plan.length, self._step, self.asked.batch
        leads = recording.leads
        count = self._windows(stretch)
        for first in range(0, count, batch):
            many = min(batch, count - first)
            start = first * step
            values = leads.read(stretch, start, start + (many - 1) * step + length)
            physical = leads.physical(values)
            cut = np.lib.stride_tricks.sliding_window_view(physical, length, axis=1)
            yield _mean(recording, cut[:, ::step].transpose(1, 0, 2)).T

    def say(self, physical: np.ndarray) -> np.ndarray:
        """What the network says of physical values (B, leads, time); what is missing is at 0."""
        given = Signals(physical, None, np.zeros((len(physical), 0), np.float32))
        signals, trained = scaled(given, self.plan).signal, self.trained
        inputs = torch.from_numpy(np.ascontiguousarray(signals, np.float32)).to(trained.device)
        return ask(trained.network, {"signal": inputs}, trained.task, self.asked.precision)


def _mean(recording: Recording, physical: np.ndarray) -> np.ndarray:
    """What a recording's networks say in the mean of physical values (B, leads, time)."""
    first, *others = recording.networks
    total = first.say(physical)
    for one in others:
        total = total + one.say(physical)
    return total / len(recording.networks) if others else total
