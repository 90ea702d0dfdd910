"""How a model of images answers: masks by sliding windows, or whole images together."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch

from medray.errors import DataError
from medray.modalities.ask import ask
from medray.modalities.base import Answering, giving
from medray.modalities.image.guide.channels import beside
from medray.modalities.image.guide.masks import read_guide
from medray.modalities.image.loader import whole_image
from medray.modalities.image.normalise import (
    Normaliser,
    image_statistics,
    stored_statistics,
)
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.sliding.infer import predict_volume
from medray.models.image.base import ImageNetwork
from medray.models.precision import cast_ahead
from medray.storage.shards.forms.ome import IMAGE, LABEL
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Sliceable, Stored
from medray.tasks.base import Task

AHEAD_BYTES = 16 * 2**20  # of a unit's images are read before its turn; larger ones stream

# Columns that describe arrays which a prediction does not have, or hold the truth that it answers.
_DESCRIBE_ARRAYS = ("image_", "foreground_", "label_", "guide_", "objects")


class ImagePredictor(Answering):
    """How a model of images answers."""

    @property
    def plan(self) -> ImagePlan:
        """Of the model's training."""
        return cast("ImagePlan", self.trained.plan)

    def giving(self, outputs: str) -> Answering:
        """See Answering; maps of what the network looks at are another predictor's."""
        return self.trained.modality.predictor(self.trained, giving(self.asked, outputs))

    @property
    def arrays(self) -> Arrays:
        """A mask, or its probabilities."""
        label = replace(LABEL, dtypes=(self._mask_dtype,))
        return {"label": label, "probability": replace(IMAGE, dtypes=("float32",))}

    @property
    def by_windows(self) -> bool:
        """Whether an image is answered window by window; else it is taken whole."""
        return self.trained.task.answers != "sample"

    @property
    def _mask_dtype(self) -> str:
        return "uint16" if self.trained.task.numbered else "uint8"

    @cached_property
    def network(self) -> ImageNetwork:
        """That is asked; for pictures in bf16 on a CPU its weights are cast once."""
        network = cast("ImageNetwork", self.trained.network)
        on_cpu = self.trained.device.type == "cpu" and self.asked.precision == "bf16"
        return cast_ahead(network) if on_cpu and self.plan.dims == 2 else network

    @property
    def batch(self) -> int:
        """Whole images go through the network together; windows are batched image by image."""
        return 1 if self.by_windows else self.asked.batch

    @property
    def short(self) -> bool:
        """See Predictor: masks are as large as their images, which are as large as they like."""
        return not self.by_windows

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample with its normalised image, the guide's channels behind its own: `Slabs` for
        windows, else (C, *patch).

        The image, (C, Z, Y, X) or (C, Y, X), is read now where all that are held fit AHEAD_BYTES.
        Else what goes by windows is read at once when its turn comes, and streamed where it alone
        does not fit.
        """
        row, image = stored.row, stored.array("image")
        size = math.prod(image.shape) * image.dtype.itemsize
        held = size * together <= AHEAD_BYTES
        plan = self.plan
        if image.ndim != plan.dims + 1 or image.shape[0] != plan.in_channels:
            raise DataError(
                f"an image of {image.shape} for a model of {plan.in_channels} channels and "
                f"{plan.dims} spatial axes",
                code="model-mismatch",
                about=stored.id,
                hint="select samples like those the model was trained on",
            )
        arrays: dict[str, np.ndarray | Slabs]
        if self.by_windows:
            late = size <= AHEAD_BYTES and not held
            normalised = self._later(row, image) if late else self._slabs(row, image, held=held)
            if plan.guide:
                guide = read_guide(stored, plan.guide, image.shape[1:])
                mask = guide[...] if held else guide
                normalised = beside(normalised, mask, len(plan.guide), stored.id)
            shape = (plan.inputs, *image.shape[1:])
            arrays = {"image": Slabs(shape, np.dtype(np.float32), 1, normalised)}
        else:
            pixels = image[...]
            whole = self._normaliser(row, pixels)(pixels)
            arrays = {"image": whole_image(torch.from_numpy(whole), plan.patch).numpy()}
        kept = {name: row[name] for name in row if not name.startswith(_DESCRIBE_ARRAYS)}
        return Sample(stored.id, kept, arrays)

    def _normaliser(self, row: dict[str, Any], image: Sliceable) -> Normaliser:
        plan = self.plan
        known = all(channel.scheme != "zscore" for channel in plan.channels)
        known = known or stored_statistics(row, plan.in_channels) is not None
        return plan.normaliser(row, None if known else image_statistics(_parts(image)))

    def _slabs(self, row: dict[str, Any], image: Sliceable, *, held: bool) -> Iterator[np.ndarray]:
        """Of the normalised image, which is read now where it is to be held."""
        source = image[...] if held else image
        return map(self._normaliser(row, source), _parts(source))

    def _later(self, row: dict[str, Any], image: Sliceable) -> Iterator[np.ndarray]:
        """The same, read at once when the first is asked for."""
        yield from self._slabs(row, image, held=True)

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each prepared one, in order; see `Predict`."""
        if self.by_windows:
            for sample in samples:
                yield self.mask(sample)
        else:
            yield from super().compute(samples)

    def mask(self, sample: Sample) -> Sample:
        """The output sample of one that is streamed, with its mask or probabilities."""
        trained, asked = self.trained, self.asked
        plan, image = self.plan, sample.arrays["image"]
        space = image.shape[1:]
        probabilities = asked.options.outputs == "probabilities"
        inner = plan.network_shape(space, sample.row.get("spacing_mm"))
        slabs = predict_volume(
            self.network,
            image
            if isinstance(image, Slabs)
            else Slabs(image.shape, image.dtype, 1, iter([image])),
            roi=plan.window(inner, self.network.divisor),
            overlap=asked.options.overlap,
            batch=asked.batch,
            mirror_axes=plan.mirror_axes if asked.options.tta else (),
            precision=asked.precision,
            outputs="probabilities" if probabilities else "labels",
            threshold=trained.task.channel_threshold,
            network_shape=inner,
            device=trained.device,
        )
        made = Sample(sample.id, dict(sample.row))
        if probabilities:
            shape = (len(plan.classes), *space)
            made.arrays["probability"] = Slabs(shape, np.dtype(np.float32), 1, slabs)
        else:
            kept = trained.task.postprocess(labels_of(trained.task, slabs))
            counted = _counted(kept, trained.task, made.row)
            made.arrays["label"] = Slabs(space, np.dtype(self._mask_dtype), 0, counted)
        return made

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """Of whole images; see Predictor."""
        trained, asked = self.trained, self.asked
        dtype = torch.bfloat16 if asked.precision == "bf16" else torch.float32
        images = torch.empty((len(samples), *samples[0].arrays["image"].shape), dtype=dtype)
        for image, sample in zip(images, samples, strict=True):
            image.copy_(torch.as_tensor(sample.arrays["image"]))
        mirror_axes = self.plan.mirror_axes if asked.options.tta else ()
        return ask(
            self.network,
            images.to(trained.device),
            trained.task,
            asked.precision,
            mirror_axes,
        )


def labels_of(task: Task, slabs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Slabs of labels (depth, *rest), of what `predict_volume` gives with the task's threshold."""
    for slab in slabs:
        yield slab if task.channel_threshold is None else task.painted(slab)


def _counted(slabs: Iterator[np.ndarray], task: Task, row: dict[str, Any]) -> Iterator[np.ndarray]:
    """The slabs as they are; once they have passed, `row` holds what the task counts of them."""
    voxels = np.zeros(1, np.int64)
    for slab in slabs:
        found = np.bincount(slab.reshape(-1), minlength=len(voxels))
        found[: len(voxels)] += voxels
        voxels = found
        yield slab
    row |= task.counted(voxels)


def _parts(image: Sliceable) -> Iterator[np.ndarray]:
    """Slabs along axis 1 that begin and end where stored chunks do, or would."""
    if isinstance(image, np.ndarray):
        chunk = IMAGE.seen(image.ndim, str(image.dtype)).chunk_of(image.shape)
    else:
        chunk = image.chunk
    depth, step = image.shape[1], chunk[1]
    for start in range(0, depth, step):
        yield image[:, start : min(start + step, depth)]
