"""The contract of a modality: from stored samples to what a network takes, and back.

Training, validation, prediction and serving are written once, over this. A modality knows how the
data are looked at before a training, how a batch is drawn, and how one stored sample is answered.
Neither this nor a modality's entry loads torch: who asks what a model takes has no network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from medray.data.cases import Cases, Loader
from medray.data.order import Order
from medray.data.vectors import Worded
from medray.modalities.generation import Generation
from medray.modalities.lot import Lot, Together, joined
from medray.modalities.made import Made
from medray.modalities.plan import Augment, Plan, PlanOptions, PredictOptions, Sketch, Wanted
from medray.modalities.several import Several
from medray.modalities.shows import Shows
from medray.modalities.streamed import apart, held
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Stored

if TYPE_CHECKING:
    import torch

    from medray.baselines.base import Baseline
    from medray.models.base import Network
    from medray.tasks.base import Task

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Trained:
    """A trained network and what is needed to use it.

    Args:
        modality: how samples come to it.
        network: in evaluation mode, on `device`.
        task: what its logits mean.
        plan: grid, patch and normalisation it was trained on.
        device: where it is.
        reference: of the package, "name@version".
        kept: gives arrays of what it learnt from, as of Modality.keeps.
        baseline: gives one that stands beside it, by name.
    """

    modality: "Modality"
    network: "Network"
    task: "Task"
    plan: Plan
    device: "torch.device"
    reference: str
    kept: Callable[[], dict[str, np.ndarray]] = dict
    baseline: "Callable[[str], Baseline]" = dict[str, Any]().__getitem__


@dataclass(frozen=True)
class Asking:
    """How a model is asked.

    Args:
        options: an instance of the modality's `PredictOptions`.
        precision: of the network.
        batch: windows at once, or samples.
        held_out: of a model of folds, what tells which have not seen a sample; False: ask all.
    """

    options: Any
    precision: Precision = "fp32"
    batch: int = 1
    held_out: Literal[False, "fold", "subject"] = False


class Predictor(ABC):
    """A model and how it is to answer: the same in bulk and behind an endpoint.

    Args:
        trained: the model.
        asked: how.
    """

    def __init__(self, trained: Trained, asked: Asking) -> None:
        self.trained, self.asked = trained, asked

    @property
    def batch(self) -> int:
        """How many prepared samples `compute` takes at once."""
        return self.asked.batch

    @property
    def rows(self) -> int:
        """How many rows of a shard are answered together at most."""
        return self.batch

    @property
    def arrays(self) -> Arrays:
        """Every array that output samples may have, by name; none by default."""
        return {}

    @property
    def short(self) -> bool:
        """Whether prepared samples and answers are small, so that those of several requests go
        through the network together. Else it is asked by one request at a time."""
        return True

    def together(self, shard: Shard) -> Together:
        """Whether samples of a shard are answered together, and how that is written: to prepare
        each would take too long."""
        return None

    def of_shard(self, lot: Lot) -> np.ndarray:
        """What the task makes of rows of a shard, in order, (rows, …)."""
        raise NotImplementedError

    def behind_in_shard(self, lot: Lot, answers: np.ndarray) -> np.ndarray:
        """What stands behind answers of `of_shard`, as in `Answering.behind`."""
        return np.zeros((len(lot), 0), np.float32)

    def decided(self, lot: Lot) -> list[dict[str, Any]]:
        """The columns that predictions of rows of a shard have, in order."""
        answers = self.of_shard(lot)
        behind = self.behind_in_shard(lot, answers)
        return [self.columns_of(one) for one in joined(answers, behind)]

    def columns_of(self, answer: np.ndarray) -> dict[str, Any]:
        """The columns that an answer makes, with what stands behind it."""
        return self.trained.task.decide(answer)

    @abstractmethod
    def prepare(self, stored: Stored, together: int) -> Sample:
        """A sample as `compute` takes it.

        Args:
            stored: where it lies.
            together: how many samples of its size may be held at the same time.

        Raises:
            DataError: it is not of the kind the model takes (code "model-mismatch").
        """

    @abstractmethod
    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each prepared one, in order."""


def giving(asked: Asking, outputs: str) -> Asking:
    """The same, with other outputs."""
    return replace(asked, options=asked.options.model_copy(update={"outputs": outputs}))


class Answering(Predictor):
    """A predictor whose samples are answered by arrays, many at a time."""

    ragged: ClassVar[bool] = False
    """Whether answers differ in size, those of one call filled up with NaN to the longest."""

    def giving(self, outputs: str) -> "Answering":
        """The same model with other outputs; see `Wire.outputs`."""
        return type(self)(self.trained, giving(self.asked, outputs))

    @abstractmethod
    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """What the task makes of the network's answer to each prepared sample, (B, classes, …)."""

    def behind(self, samples: Sequence[Sample], answers: np.ndarray) -> np.ndarray:
        """What stands behind answers, (B, numbers), and is about what they say, as maps of the
        class that is called. Each of several networks is asked about the mean of their answers."""
        return np.zeros((len(samples), 0), np.float32)

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor; each is prepared by itself, and held whole."""
        made = []
        for rows in lot.parts(self.batch):
            samples = [self.prepare(one, self.batch) for one in lot.take(rows).each()]
            made.append(self.answers(held(samples)))
        return np.concatenate(made)

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """The output sample of a prepared one, of its answer and what stands behind that."""
        return Sample(sample.id, sample.row | self.columns_of(answer))

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each prepared one, in order; streamed ones one by one."""
        return apart(samples, self._whole, self.finish)

    def _whole(self, samples: Sequence[Sample]) -> np.ndarray:
        answers = self.answers(samples)
        return joined(answers, self.behind(samples, answers))


class Modality(Several, Shows, Worded, ABC):
    """How one kind of sample goes from storage to a network. Stateless."""

    name: ClassVar[str]
    needs: ClassVar[Needs] = Needs()
    """What its samples have."""
    Augment: ClassVar[type[Augment]] = Augment
    """What of its samples a training may change at random (`train.augment`)."""
    PlanOptions: ClassVar[type[PlanOptions]] = PlanOptions
    """What of its plan a job may fix (`plan` of a training)."""
    PredictOptions: ClassVar[type[PredictOptions]] = PredictOptions
    """How its models may be asked, beside `precision` and `batch`."""
    baselines: ClassVar[tuple[str, ...]] = ("",)
    """In the registry of baselines: what is fitted to `design`, where "" is the task's own."""
    extends: ClassVar[frozenset[str]] = frozenset()
    """Kinds of axis that its samples extend along: "space", "base", …; what tasks answer over."""

    @classmethod
    @abstractmethod
    def plan_type(cls) -> type[Plan]:
        """Of its plans."""

    @abstractmethod
    def plan(self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted) -> Any:
        """Look at the training samples `indices`, and at no other, and plan.

        Raises:
            SpecError: data, task and network don't fit together.
            DataError: the data don't fit each other.
        """

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """What is known of a network before a training looks at its data.

        Args:
            model: `name` and options.
            given: an instance of `PlanOptions`.
            task: that is to be learnt.
            axes: of space that the samples have, where that is known.

        Raises:
            SpecError: it can't be, whatever the data are like; `about` names the job's field.
        """
        return Sketch({})

    def accept(self, network: "Network", sketch: Sketch) -> None:
        """Refuse a network that was built of a sketch.

        Raises:
            SpecError: what is drawn from samples does not fit it.
        """

    def augmented(self, settings: TrainSettings) -> Any:
        """How samples are augmented, an instance of `Augment`; None: they are not."""
        if settings.augment is None:
            return None
        return self.Augment.model_validate(settings.augment)

    @abstractmethod
    def build(self, model: dict[str, Any], plan: Any) -> "Network":
        """The network with fresh weights, drawn from torch's global generator.

        Raises:
            SpecError: it can't be built for this plan.
        """

    @abstractmethod
    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: Any,
        task: "Task",
        settings: TrainSettings,
    ) -> Cases:
        """Samples, ready to be drawn from."""

    @abstractmethod
    def loader(
        self,
        cases: Any,
        order: Order,
        plan: Any,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> Loader:
        """Batches of `cases` for rank share[0] of share[1]."""

    def takes_unlabelled(self, task: "Task") -> bool:
        """Whether samples without targets can be learnt from, as `seen_twice` draws them."""
        return False

    def seen_twice(self, cases: Any, order: Order, plan: Any, *more: Any) -> Loader:
        """Batches of `Batch.unlabelled`, where targets are not looked at; arguments of `loader`."""
        raise NotImplementedError

    @abstractmethod
    def judge(
        self,
        network: "Network",
        cases: Any,
        chosen: Sequence[int],
        task: "Task",
        plan: Any,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """A row of `Task.judge` for each chosen case, in order, of a network in eval mode."""

    @abstractmethod
    def wire(self, plan: dict[str, Any]) -> Wire:
        """Which requests a model takes, whose package holds this plan, and what it answers; needs
        no torch."""

    def outputs(self, network: "type[Network]", task: "Task", options: Any) -> Made:
        """What answers of such a network will hold, known before there is a model; `options` are an
        instance of `PredictOptions`.

        Raises:
            SpecError: such a model cannot be asked so; the code says why.
        """
        return Made()

    @abstractmethod
    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """How a trained model answers."""

    def generation(self) -> Generation | None:
        """How its models draw new samples; None: they do not."""
        return None

    def design(self, dataset: Dataset, indices: Sequence[int], plan: Any) -> np.ndarray | None:
        """What baselines take of samples, float32 (samples, columns) without NaN; None: nothing."""
        return None

    def keeps(self, dataset: Dataset, indices: Sequence[int], plan: Any) -> dict[str, np.ndarray]:
        """Arrays with a row for each training sample that a package keeps (`Trained.kept`)."""
        return {}

    def layout(self, network: "Network", plan: Any, device: "torch.device") -> None:
        """Arrange a network for inference, in place; its function stays."""

    @abstractmethod
    def describe(self, plan: Any) -> list[str]:
        """What a model's card says of the plan, a line each."""
