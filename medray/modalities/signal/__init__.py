"""Signals: beats and windows of recordings, of one length and rate, and what stands beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from medray.data.order import Order
from medray.errors import SpecError
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.made import Made
from medray.modalities.plan import Augment, PlanOptions, PredictOptions, Sketch, Wanted
from medray.modalities.signal.augment import SignalAugment
from medray.modalities.signal.intervals import column_of
from medray.modalities.signal.plan import SignalPlan, SignalPlanOptions
from medray.modalities.signal.wire import SignalWire
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch

    from medray.modalities.signal.cases import SignalCases
    from medray.modalities.signal.loader import SignalLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

TOGETHER = 512  # signals that are validated at once
LENGTH = 256  # of a network that is built before there are data
HELD = 2**31  # bytes of signals that a linear model may be fitted on in memory
POINTS = 32  # of a signal, that a linear model takes
MOST_S = 86_400.0  # of an option: a day


class SignalPredictOptions(PredictOptions):
    """How models of signals are asked about whole records; of beats and windows nothing counts."""

    min_s: float = Field(0, ge=0, le=MOST_S, description="shorter intervals are dropped")
    gap_s: float = Field(
        0, ge=0, le=MOST_S, description="background at most, over which two intervals are one"
    )
    step_s: float | None = Field(
        None,
        gt=0,
        le=MOST_S,
        description="between windows, of models that answer for windows; null: half a window",
    )
    background: str | None = Field(
        None, description='class that makes no intervals; null: the first; "": every class does'
    )
    annotator: str = Field("", description="of the intervals; empty: the model's name")
    probabilities: bool = Field(
        False, description="also an array of all probabilities, of models that answer by sample"
    )


class Signals(Modality):
    """Samples with an array `signal` (lead, time); to be asked about, whole recordings too."""

    name: ClassVar[str] = "signal"
    needs: ClassVar[Needs] = Needs((names("signal"),), instead=names("channels"))
    Augment: ClassVar[type[Augment]] = SignalAugment
    PlanOptions: ClassVar[type[PlanOptions]] = SignalPlanOptions
    PredictOptions: ClassVar[type[PredictOptions]] = SignalPredictOptions
    extends: ClassVar[frozenset[str]] = frozenset({"time"})

    @classmethod
    def plan_type(cls) -> type[SignalPlan]:
        """See Modality."""
        return SignalPlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> SignalPlan:
        """See medray.modalities.signal.survey."""
        from medray.modalities.signal.survey import make_plan

        return make_plan(dataset, indices, task, wanted)

    def sketch(
        self, model: dict[str, Any], given: SignalPlanOptions, task: "Task", axes: int | None
    ) -> Sketch:
        """Of signals as the job says; else only the data know."""
        planned = {"context": bool(given.context), "columns": len(given.columns)}
        return Sketch(planned, len(given.leads or ("",)), size=(LENGTH,))

    def build(self, model: dict[str, Any], plan: SignalPlan) -> "Network":
        """The network for so many leads and columns."""
        from medray.models import MODELS, model_options

        options = model_options(model, context=plan.context, columns=len(plan.columns))
        kind = MODELS.get(model["name"])
        return kind.build(options, len(plan.leads), len(plan.classes), (plan.length,))

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: SignalPlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "SignalCases":
        """See medray.modalities.signal.cases."""
        from medray.modalities.signal.cases import SignalCases

        return SignalCases(dataset, indices, plan, settings.cache_bytes)

    def loader(
        self,
        cases: "SignalCases",
        order: Order,
        plan: SignalPlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "SignalLoader":
        """See medray.modalities.signal.loader."""
        from medray.modalities.signal.cases import targets_of
        from medray.modalities.signal.loader import SignalLoader

        return SignalLoader(
            cases,
            order,
            targets_of(task, cases.rows, cases.labels),
            augment=self.augmented(settings),
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: "Network",
        cases: "SignalCases",
        chosen: Sequence[int],
        task: "Task",
        plan: SignalPlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many signals at a time."""
        from medray.modalities.ask import ask
        from medray.modalities.signal.inputs import scaled
        from medray.modalities.signal.loader import tree

        for start in range(0, len(chosen), TOGETHER):
            some = cases.take(list(chosen[start : start + TOGETHER]))
            answers = ask(network, tree(scaled(some, plan), device), task, precision)
            for at, answer in enumerate(answers, start):
                truth = None if cases.labels is None else cases.labels[chosen[at]]
                yield task.judge(answer, truth)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: SignalPlan) -> np.ndarray:
        """Of each lead up to 32 points, and as many of how it differs from its context; columns."""
        from medray.modalities.signal.cases import SignalCases
        from medray.modalities.signal.inputs import scaled

        cases = SignalCases(dataset, indices, plan, HELD)
        step = -(-plan.length // POINTS)
        parts = []
        for start in range(0, len(cases), TOGETHER):
            some = scaled(cases.take(range(start, min(len(cases), start + TOGETHER))), plan)
            signals = [some.signal]
            if some.context is not None:
                signals.append(some.signal - some.context)
            flat = [one[:, :, ::step].reshape(len(one), -1) for one in signals]
            parts.append(np.concatenate([*flat, some.columns], 1).astype(np.float32))
        return np.concatenate(parts)

    def united(
        self, networks: "Sequence[Network]", plans: Sequence[Any], task: "Task"
    ) -> "Network | None":
        """See Several: of answers sample by sample, since what is judged of these are counts, which
        have no mean."""
        if task.answers != "place":
            return None
        from medray.modalities.ask import averaged
        from medray.modalities.signal.records import AveragedPlaces

        return averaged(networks, plans, task, AveragedPlaces)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.signal.wire."""
        return SignalWire(plan)

    def outputs(self, network: "type[Network]", task: "Task", options: Any) -> Made:
        """A row each, or the probability of each class at each sample; of recordings intervals."""
        along = names("annotations", column_of(task.answers), "rate")
        if task.answers == "place":
            return Made(names("probability"), along)
        return Made(columns=Made().columns | along)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """One row for each signal; see medray.modalities.signal.records for recordings.

        Raises:
            SpecError: the background is no class of the model (code "unknown-class").
        """
        from medray.modalities.signal.predictor import SignalPredictor

        background = asked.options.background
        if background and background not in trained.plan.classes:
            raise SpecError(
                f"the model has no class {background!r}",
                code="unknown-class",
                about="options.background",
                hint=f"one of {', '.join(trained.plan.classes)}",
            )
        return SignalPredictor(trained, asked)

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """With a trace of each case that the task asks for."""
        from medray.modalities.signal.pages import traces

        drawn = traces(section.pictures, task, truth, predictions)
        return replace(section, pictures=(), figures=[*section.figures, *drawn])

    def sections(self, predictions: Dataset, data: Dataset) -> list[Section]:
        """Of whole recordings how many intervals were called by the hour, and where."""
        from medray.modalities.signal.recordings import alarms_of

        return alarms_of(predictions, data)

    def describe(self, plan: SignalPlan) -> list[str]:
        """Rate, length, leads, scale, and what stands beside a signal."""
        said = [
            f"signals of {plan.length} samples at {plan.rate:g} Hz, leads {', '.join(plan.leads)}",
            f"scaled by {plan.scale}",
        ]
        if plan.columns:
            said.append(f"beside each signal {', '.join(plan.columns)}")
        if plan.context:
            said.append(
                "beside each signal the median of its record, so it answers for records that are "
                "whole, and not while one is running"
            )
        return said
