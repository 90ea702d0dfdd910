"""Slides: tiles of tissue, of which a whole slide's answer is made."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from pydantic import Field

from medray.data.order import Order
from medray.errors import SpecError
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.made import Made
from medray.modalities.plan import Augment, PlanOptions, PredictOptions, Sketch, Wanted
from medray.modalities.slide.plan import SlideAugment, SlidePlan, SlidePlanOptions, make_plan
from medray.modalities.slide.wire import SlideWire
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from medray.modalities.slide.cases import SlideCases, SlideLoader
    from medray.models.base import Network
    from medray.models.slide.base import SlideNetwork
    from medray.tasks.base import Task

TILES = 32  # that go through a network at once


class SlideOptions(PredictOptions):
    """How models of slides may be asked."""

    tiles: int = Field(TILES, ge=1, description="that go through the network at once")
    heat: bool = Field(True, description="also a map of what the model says of each tile")


class SlideSamples(Modality):
    """Samples with an array `tiles`, as the format `slide` makes them."""

    name: ClassVar[str] = "slide"
    needs: ClassVar[Needs] = Needs((names("tiles"),), hint="ingest slides by the format `slide`")
    Augment: ClassVar[type[Augment]] = SlideAugment
    PlanOptions: ClassVar[type[PlanOptions]] = SlidePlanOptions
    PredictOptions: ClassVar[type[PredictOptions]] = SlideOptions

    @classmethod
    def plan_type(cls) -> type[SlidePlan]:
        """See Modality."""
        return SlidePlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> SlidePlan:
        """See medray.modalities.slide.plan."""
        rows = dataset.samples.take(list(indices)).to_pylist()
        return make_plan(rows, task, wanted, task.statistics(_targets(task, rows).numpy()))

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """Of tiles of some size: only the data know it."""
        return Sketch({}, 3)

    def build(self, model: dict[str, Any], plan: SlidePlan) -> "Network":
        """The network for tiles of this size."""
        from medray.models import MODELS, model_options

        kind = MODELS.get(model["name"])
        return kind.build(model_options(model), 3, len(plan.classes), (plan.tile, plan.tile))

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: SlidePlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "SlideCases":
        """See medray.modalities.slide.cases."""
        from medray.modalities.slide.cases import SlideCases

        return SlideCases(dataset, indices, settings.cache_bytes)

    def loader(
        self,
        cases: "SlideCases",
        order: Order,
        plan: SlidePlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "SlideLoader":
        """See medray.modalities.slide.cases."""
        from medray.modalities.slide.cases import SlideLoader

        made = SlideLoader(
            cases,
            order,
            _targets(task, cases.rows),
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )
        made.plan, made.augment = plan, self.augmented(settings)
        return made

    def judge(
        self,
        network: "Network",
        cases: "SlideCases",
        chosen: Sequence[int],
        task: "Task",
        plan: SlidePlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """All tiles of each slide, as prediction does."""
        from medray.modalities.slide.reading import read_slide

        for case in chosen:
            tiles, sound = cases.tiles(case), cases.sound(case)
            net = cast("SlideNetwork", network)
            reading = read_slide(net, tiles, sound, TILES, plan, device, precision)
            yield task.judge(task.probabilities(reading.logits).numpy()[0], None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: SlidePlan) -> np.ndarray:
        """Mean and deviation of each colour over a slide's tiles, standardised."""
        rows = dataset.samples.take(list(indices)).to_pylist()
        mean, std = (np.array([row[n] for row in rows]) for n in ("tile_mean", "tile_std"))
        scaled = [(mean - np.array(plan.mean)) / np.array(plan.std), std / np.array(plan.std)]
        return np.concatenate(scaled, 1).astype(np.float32)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.slide.wire."""
        return SlideWire(plan)

    def outputs(self, network: "type[Network]", task: "Task", options: SlideOptions) -> Made:
        """A row each, and a map."""
        more = names("heat_channels", "spacing_mm") if options.heat else names()
        return Made(names("heat") if options.heat else names(), Made().columns | more)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """See medray.modalities.slide.predictor."""
        from medray.modalities.slide.predictor import SlidePredictor

        return SlidePredictor(trained, asked)

    def layout(self, network: "Network", plan: SlidePlan, device: "torch.device") -> None:
        """Batch norms within their convolutions; channels last on a CPU."""
        import torch

        from medray.models.image.fusion import fuse_norms

        fuse_norms(network)
        if device.type == "cpu":
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """See medray.modalities.slide.pages."""
        from medray.modalities.slide.pages import drawn

        return replace(section, pictures=drawn(section.pictures, truth, predictions))

    def describe(self, plan: SlidePlan) -> list[str]:
        """Tiles and their resolution."""
        return [f"slides, tiles of {plan.tile} x {plan.tile} pixels at {plan.mpp:.3g} µm a pixel"]


def _targets(task: "Task", rows: Sequence[dict[str, Any]]) -> "Tensor":
    targets = task.targets(rows)
    if targets is None:
        raise SpecError(
            "a slide has no places to answer for",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return targets
