"""Whole records: what a network says along a recording, and the intervals that come of it.

A network that answers sample by sample streams over it (`streaming`); one that answers for windows
is asked for windows that follow each other at a step. Stretches between gaps stand alone, and
another rate is brought to the network's on the way. Nothing is as long as the record.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import torch

from medray.data.ahead import read_ahead
from medray.formats.signal.leads import Leads, Stretch, kept, wanted_of
from medray.formats.signal.recording import Annotation
from medray.modalities.ask import ask
from medray.modalities.base import Asking, Trained
from medray.modalities.signal.inputs import Signals, mismatch, scaled
from medray.modalities.signal.intervals import Interval, Intervals
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.signal.streaming import WINDOW, streamed
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.stored import Stored

PROBABILITY = ArraySpec(
    (Axis("class"), Axis("time", "time", "second")), ("float32",), chunk=(None, 2**16)
)


class Places(Protocol):
    """A network that answers sample by sample, of a finite stretch."""

    divisor: int
    margin: int


@dataclass
class Recording(Sample):
    """A recording that is prepared: its leads as the network takes them, yet to be read."""

    leads: Leads = field(kw_only=True)


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
                can be brought to the model's ("model-mismatch").
        """
        if self.plan.context or self.plan.columns:
            raise mismatch("the model takes a context or columns, which a recording has not")
        leads = Leads(stored, wanted_of(stored.row, self.plan.leads), self.plan.rate)
        row = kept(stored.row, ("start_time", "duration_s", "channels", "segments", "frame_rate"))
        return Recording(stored.id, row, leads=leads)

    def answer(self, recording: Recording) -> Sample:
        """Intervals in the columns `annotations` and `interval_probability`; where probabilities
        are asked for the array `probability` (classes, time), sample by sample.

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
            for part in along(leads, stretch):
                found.add(part)
                yield part
            for one in found.end():
                annotations.append(dict(vars(self._annotation(one, stretch, leads))))
                sure.append(one.probability)
        row["annotations"], row["interval_probability"] = annotations, sure

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

    def _by_sample(self, leads: Leads, stretch: Stretch) -> Iterator[np.ndarray]:
        network = cast("Places", self.trained.network)
        step = WINDOW

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, stretch.size, step):
                stop = min(start + step, stretch.size)
                values = leads.physical(leads.fresh(stretch, start, stop))
                yield self._given(values[None])[0]

        ahead = read_ahead(blocks())
        try:
            yield from streamed(
                ahead, self._asked, divisor=network.divisor, margin=network.margin, window=step
            )
        finally:
            ahead.close()

    def _by_window(self, leads: Leads, stretch: Stretch) -> Iterator[np.ndarray]:
        length, step, batch = self.plan.length, self._step, self.asked.batch
        count = self._windows(stretch)
        for first in range(0, count, batch):
            many = min(batch, count - first)
            start = first * step
            values = leads.read(stretch, start, start + (many - 1) * step + length)
            physical = leads.physical(values)
            cut = np.lib.stride_tricks.sliding_window_view(physical, length, axis=1)
            yield self._asked(self._given(cut[:, ::step].transpose(1, 0, 2))).T

    def _given(self, physical: np.ndarray) -> np.ndarray:
        """Physical values (B, leads, time) as the network takes them; what is missing is at 0."""
        there = np.isfinite(physical)
        given = Signals(np.where(there, physical, 0), None, np.zeros((len(there), 0), np.float32))
        return np.where(there, scaled(given, self.plan).signal, np.float32(0))

    def _asked(self, signals: np.ndarray) -> np.ndarray:
        trained = self.trained
        inputs = torch.from_numpy(np.ascontiguousarray(signals, np.float32)).to(trained.device)
        return ask(trained.network, {"signal": inputs}, trained.task, self.asked.precision)
