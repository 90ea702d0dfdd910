"""Images: patches or whole ones, normalised, on the grid of the network."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from medray.data.order import Order
from medray.modalities.base import Answering, Modality, Precision, Trained, Wanted
from medray.modalities.image.build import build_network, levels_of
from medray.modalities.image.cases import Cases
from medray.modalities.image.channels_last import channels_last
from medray.modalities.image.loader import Loader, whole_image
from medray.modalities.image.plan import ImagePlan, make_plan
from medray.modalities.image.sliding.infer import predict_volume
from medray.modalities.image.survey import fingerprint
from medray.models.base import Network
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Slabs
from medray.tasks.base import Task
from medray.tasks.section import Section

OVERLAP = 0.25  # of windows; prediction takes 0.5: here the verdict is wanted soon
SLAB_DEPTH = 64  # planes read at a time
TOGETHER = 32  # whole images at once


class Images(Modality):
    """Samples with an array `image`; of dense tasks with an array `label` besides."""

    name: ClassVar[str] = "image"
    Plan: ClassVar[type[ImagePlan]] = ImagePlan
    needs: ClassVar[Needs] = Needs((names("image"),))
    extends: ClassVar[frozenset[str]] = frozenset({"space"})

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: Task, wanted: Wanted
    ) -> ImagePlan:
        """See medray.modalities.image.plan."""
        return make_plan(
            fingerprint(dataset, indices, task),
            task,
            dims=wanted.model.get("dims"),
            levels=levels_of(wanted.model),
            batch_size=wanted.settings.batch_size,
            augment=wanted.settings.augment,
            device=wanted.device,
            given=wanted.given,
        )

    def build(self, model: dict[str, Any], plan: ImagePlan) -> Network:
        """See medray.modalities.image.build."""
        return build_network(model, plan)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: ImagePlan,
        task: Task,
        settings: TrainSettings,
    ) -> Cases:
        """See medray.modalities.image.cases."""
        return Cases(
            dataset,
            indices,
            plan.channels,
            dims=plan.dims,
            spacing_mm=plan.spacing_mm,
            classes=len(task.classes) if task.answers == "place" else 0,
            ignored=task.ignored,
            cache_bytes=settings.cache_bytes,
        )

    def loader(
        self,
        cases: Cases,
        order: Order,
        plan: ImagePlan,
        task: Task,
        settings: TrainSettings,
        share: tuple[int, int],
        device: torch.device,
    ) -> Loader:
        """See medray.modalities.image.loader."""
        return Loader(
            cases,
            order,
            plan.patch,
            targets=task.targets(cases.rows),
            augment=settings.augment,
            foreground=settings.foreground if task.answers == "place" else 0.0,
            rank=share[0],
            size=share[1],
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
            channels_last=settings.channels_last,
        )

    def judge(
        self,
        network: Network,
        cases: Cases,
        chosen: Sequence[int],
        task: Task,
        plan: ImagePlan,
        device: torch.device,
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Masks by sliding windows, or whole images many at a time."""
        if task.answers == "place":
            for case in chosen:
                mask = _mask(network, cases, case, plan, device, precision)
                yield task.judge(mask, cases.label(case).numpy())
            return
        for start in range(0, len(chosen), TOGETHER):
            some = chosen[start : start + TOGETHER]
            for answer in _answers(network, cases, some, task, plan, device, precision):
                yield task.judge(answer, None)

    def predictor(self, trained: Trained, options: dict[str, Any]) -> Answering:
        """See medray.steps.predict.operation."""
        from medray.modalities.image.predictor import ImagePredictor

        return ImagePredictor(trained, options)

    def layout(self, network: Network, plan: ImagePlan, device: torch.device) -> None:
        """Channels last on a CPU."""
        if device.type == "cpu":
            channels_last(network, plan.dims)

    def illustrate(
        self, section: Section, task: Task, truth: Dataset, predictions: Dataset
    ) -> Section:
        """See medray.modalities.image.pages."""
        from medray.modalities.image.pages import drawn

        return replace(section, pictures=drawn(section.pictures, task, truth, predictions))

    def describe(self, plan: ImagePlan) -> list[str]:
        """Patch and grid."""
        grid = list(plan.spacing_mm or ()) or "of each image"
        return [f"{plan.dims}-D, patch {list(plan.patch)}, grid {grid} (mm)"]


def _mask(
    network: Network,
    cases: Cases,
    case: int,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> np.ndarray:
    shape = cases.shapes[case]
    inner = plan.network_shape(shape, cases.rows[case].get("spacing_mm"))
    slabs = predict_volume(
        network,
        _slabs(cases, case, plan.in_channels),
        roi=plan.window(inner, network.divisor),
        overlap=OVERLAP,
        precision=precision,
        network_shape=None if inner == shape else inner,
        device=device,
    )
    return np.concatenate(list(slabs))


def _slabs(cases: Cases, case: int, channels: int) -> Slabs:
    """A case as `predict_volume` takes it; already normalised."""
    shape = cases.shapes[case]
    boxes = [
        (slice(start, min(start + SLAB_DEPTH, shape[0])),)
        for start in range(0, shape[0], SLAB_DEPTH)
    ]
    return Slabs(
        shape=(channels, *shape),
        dtype=np.dtype(np.float32),
        axis=1,
        parts=(cases.image(case, box).numpy() for box in boxes),
    )


def _answers(
    network: Network,
    cases: Cases,
    chosen: Sequence[int],
    task: Task,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> np.ndarray:
    images = torch.stack([whole_image(cases.image(case), plan.patch) for case in chosen])
    with (
        torch.inference_mode(),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        logits: Tensor = network(images.to(device))
    return task.probabilities(logits).cpu().numpy()
