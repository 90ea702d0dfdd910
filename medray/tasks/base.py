"""The contract of a task: target, loss, what the network's answer becomes, and a quick verdict."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from torch import Tensor

from medray.errors import DataError, SpecError
from medray.formats.signal.rhythms import Stretches
from medray.models.base import Answers
from medray.spec.base import Settings
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.places import Places
from medray.tasks.section import ScoredCases, Section, Verdict, section_of

NO_LABEL = 255  # of a base: not judged, not learnt

Level = Annotated[float | None, Field(gt=0, lt=1)]
"""Share of new cases whose truth an answer shall hold; None: none is stated."""


class TaskOptions(Settings):
    """Base of a task's options: frozen, unknown keys refused."""


class Task(Places, ABC):
    """What is learnt. Stateless; built from options and the classes' frequencies in the data.

    A loss is one number per sample, so that the mean over a global batch is the same however the
    batch is spread over ranks and parts, and so that a sample which spoils it can be named.
    """

    name: ClassVar[str]
    Options: ClassVar[type[TaskOptions]]
    answers: ClassVar[Answers]
    """What gets an answer: a sample as a whole, every voxel or base of it, objects in it, ….

    A network must give such answers (`Network.answers`)."""
    over: ClassVar[frozenset[str]] = frozenset()
    """Kinds of axis that its places may lie on, e.g. "space"; samples must extend along one."""
    metric: ClassVar[str]
    """Validation metric that tells which weights are best, unless the job names another."""
    metrics: ClassVar[Mapping[str, Metric]]
    """All that it makes of answers, by name, in the order of pages: what `summarise` gives (without
    `val_`), metrics of `conclude` and columns of `score`. Nobody else knows a metric."""
    baseline: ClassVar[str] = ""
    """In the registry of baselines: what is fitted beside a network; empty: nothing is."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Further ones, beside that."""
    of_network: ClassVar[frozenset[str]] = frozenset()
    """Options that `chosen` sets for a network, and that say nothing of a baseline's answers."""
    whole_batch: ClassVar[bool] = False
    """Whether a sample's loss hangs on the others of its step, as a rank in a list does; then
    `loss` gets the whole global batch, and each sample's share of the loss is what it returns."""
    by_loss: ClassVar[bool] = True
    """Whether `loss` says what is to be learnt; else an objective does."""
    directed: bool = False
    """Of relations: whether one of two spans differs from that turned round."""

    def __init__(self, options: Any, frequencies: Sequence[float] | None = None) -> None:
        self.frequencies = frequencies

    @property
    def times(self) -> Sequence[float]:
        """When answers are told, where they are curves over time."""
        return ()

    def metric_of(self, name: str) -> Metric:
        """What there is to know of a metric.

        Args:
            name: as in `metrics`; before it may stand `val_`, or `baseline_` (of another than the
                task's own `baseline-<its name>_`), behind it the class (`val_dice_tumour`).

        Raises:
            SpecError: the task has no such metric (code "unknown-metric").
        """
        base = re.sub("^(val|baseline[a-z0-9-]*)_", "", name)
        ends = ["", *(f"_{one}" for one in self.classes)]
        found = [one for one in self.metrics if any(base == one + end for end in ends)]
        if not found:
            raise SpecError(
                f"there is no metric {name!r}",
                code="unknown-metric",
                about=self.name,
                hint=f"one of {', '.join(sorted(self.validates or self.metrics))}",
            )
        return self.metrics[max(found, key=len)]

    @abstractmethod
    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """What is to be learnt of each sample, (samples, …); None: it is the label array.

        Raises:
            DataError: a row has no such column, or a value that is no class.
        """

    @property
    def needs(self) -> Needs:
        """The truth, as samples must have it for training and scoring."""
        return Needs(tuple(names(array) for array in self.wants(truth=True)))

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """What the training targets say; the task is built with it as `frequencies`.

        Args:
            values: as `targets` gave them, or the labels of all bases.

        Returns:
            The share of each class; of labels, among those that are known.

        Raises:
            DataError: a label is known of no sample (code "bad-target").
        """
        if values.ndim == 2:
            known = ~np.isnan(values)
            if not known.any(0).all():
                raise DataError(
                    "a label is missing in all training samples",
                    code="bad-target",
                    hint="check the task's `target`",
                )
            counted = np.where(known, values, 0).sum(0) / known.sum(0)
            return tuple(float(share) for share in counted)
        counts = np.bincount(values, minlength=len(self.classes))
        return tuple(float(count) / max(1, len(values)) for count in counts)

    def settled(self, targets: Callable[[], np.ndarray]) -> dict[str, Any]:
        """Options by the targets of all samples that are selected, for networks of all folds."""
        return {}

    def refitted(self, ask: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[float, ...]:
        """As `statistics`, once it is learnt: by rows of `judge`, and targets, of the training
        samples, where they are asked. Empty: nothing changes."""
        return ()

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """Loss per sample, (B,), float32.

        Args:
            outputs: logits, or a list of them, full resolution first (deep supervision), or a tree.
            target: as a part of a batch holds it, a tensor or a tree.
        """
        raise NotImplementedError

    @property
    def calibrates(self) -> bool:
        """Whether its answers lack something that only a validation can choose (`chosen`)."""
        return False

    @property
    def across(self) -> bool:
        """Whether networks of folds choose options for each other; see `chosen_across`."""
        return self.calibrates

    @property
    @abstractmethod
    def columns(self) -> int:
        """Width of a row of `judge`."""

    @abstractmethod
    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """What of one validation case is needed for the metrics.

        Args:
            answer: labels (*space), or probabilities (classes,).
            truth: labels (*space); None where truth is in the rows.
        """

    @abstractmethod
    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """Validation metrics of all cases; every name begins with `val_`. NaN if undefined.

        Args:
            table: (cases, columns), rows of `judge`.
            targets: of all cases, as `targets` gave them.
        """

    @property
    def validates(self) -> frozenset[str]:
        """Names of the metrics that `summarise` gives; empty: only the data know."""
        return frozenset()

    def wants(self, truth: bool) -> tuple[str, ...]:
        """Arrays that scoring reads; no other is: images are large.

        Args:
            truth: of the truth, all of them; else of a prediction, of which it takes the first that
                is there.
        """
        if self.answers != "place":
            return ()
        return ("label",) if truth else ("probability",)

    def events(self, row: Mapping[str, Any]) -> Stretches:
        """What a recording has of the classes, by its annotations: (onset_s, end_s, class); none of
        tasks that are not judged along recordings.

        Args:
            row: of the recording.
        """
        return []

    def given(self, prediction: Stored) -> Sample:
        """A prediction as `score` takes it.

        Args:
            prediction: where it lies.
        """
        there = [name for name in self.wants(truth=False) if name in prediction.names]
        arrays = {name: np.asarray(prediction.array(name)[...]) for name in there[:1]}
        return Sample(prediction.id, dict(prediction.row), dict(arrays))

    @abstractmethod
    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """Score one case for `evaluate`: rows of plain values, each with a `status`.

        Args:
            truth: with the arrays that it wants of it, or the target in its row.
            prediction: as `given` makes it; None scores the worst value there is.

        Raises:
            DataError: the case can't be judged: no usable truth, or another grid.
        """

    @abstractmethod
    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """Sum up all rows of `score`, which have `case` and maybe `subject` besides.

        Returns:
            JSON-able; at least {"task", "cases", "counts": {status: rows}, "metrics": {name:
            {"value", "low", "high", "cases"}}}.
        """

    def section(self, scores: ScoredCases) -> Section:
        """What a page says of scores: by default what `metrics` and the summary give.

        Pictures name the cases to be shown; their modality draws them (Modality.illustrate).
        """
        return section_of(scores, self.metrics)

    def drawn(self, kind: int) -> dict[str, Any]:
        """Columns of a sample that was drawn, of its class; by default none."""
        return {}

    def verdict(self, truth: Mapping[str, Any], answer: Mapping[str, Any] | None) -> Verdict | None:
        """In words what stands in the rows of a case, for pages; None: they do not say.

        Args:
            truth: its row, whose target may be unusable.
            answer: the prediction's row; None: there is none.
        """
        return None

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """Options that the validation chose, by its metrics; they go into the model's package."""
        return {}

    def chosen_by(self, table: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """As `chosen`, of what was judged itself, where metrics do not tell enough.

        Args:
            table: rows of `judge`.
            targets: of the cases.
        """
        return self.chosen(self.summarise(table, targets))

    def chosen_across(
        self, held_out: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """As `chosen`, of folds, where each network's validation is what it will be scored on:
        options of all networks together, and of each those that the others have chosen for it.

        Args:
            held_out: of each network rows of `judge` and targets of what it has not seen.
        """

        def of(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
            table, targets = map(np.concatenate, zip(*parts, strict=True))
            return self.chosen_by(table, targets)

        each = [of([*held_out[:at], *held_out[at + 1 :]]) for at in range(len(held_out))]
        return of(held_out), each

    def describe(self) -> list[str]:
        """Lines of the model's card: what is done to the network's answers."""
        return []

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Tasks on whole images: columns of a prediction's row, from probabilities (classes,)."""
        return {"probability": [float(value) for value in probabilities]}


def whole(sample: Sample, name: str) -> np.ndarray:
    """An array of a sample that is held whole.

    Raises:
        DataError: the sample has none of that name (code "no-such-array").
    """
    array = sample.arrays.get(name)
    if not isinstance(array, np.ndarray):
        raise DataError(f"the sample has no array {name!r}", code="no-such-array", about=sample.id)
    return array
