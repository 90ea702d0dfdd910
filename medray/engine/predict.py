"""Predict: images of a dataset to masks, or to class probabilities."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import torch

from medray.data.loader import whole_image
from medray.data.normalise import stored_statistics
from medray.engine.blend import require_finite
from medray.engine.infer import forward, predict_volume
from medray.engine.operation import Operation, Unit
from medray.engine.trained import Trained, load_trained
from medray.errors import DataError
from medray.storage.objects import Objects
from medray.storage.samples import Refusal, Sample, Slabs
from medray.storage.shards import SampleArray, Shard

AHEAD_BYTES = 64 * 2**20  # of a unit's images are read before its turn; larger ones stream

# Columns that describe arrays which a prediction does not have.
_DESCRIBE_ARRAYS = ("image_", "foreground_", "label_")


class Predict(Operation):
    """Runs a trained model over samples.

    Parameters: `model` (reference), `overlap`, `tta`, `precision`, `batch`, `outputs`.
    Payload of a unit: `shard`, `rows` (see medray.jobs.plan).
    Output samples have the id of their input and its row, without what that says of arrays. Dense
    tasks add the array `label`, or `probability` (classes, *space) with outputs "probabilities",
    slab by slab. Tasks on whole images add the columns of `Task.decide`.
    """

    name: ClassVar[str] = "predict"
    device: ClassVar[bool] = True

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        self._shard = lru_cache(maxsize=4)(lambda path: Shard(objects, path))

    def open(self) -> None:
        """Load the network, once for all units."""
        _ = self._trained

    @cached_property
    def _trained(self) -> Trained:
        return load_trained(self.objects, self.parameters["model"])

    @property
    def batch(self) -> int:
        """Whole images go through the network together; windows are batched image by image."""
        return 1 if self._trained.task.dense else int(self.parameters["batch"])

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The sample with its normalised image: `Slabs` for dense tasks, else (C, *patch)."""
        at = unit.inputs.index(key)
        shard, number = self._shard(unit.payload["shard"]), unit.payload["rows"][at]
        row = shard.table.slice(number, 1).to_pylist()[0]
        image = shard.array(number, "image")
        plan = self._trained.plan
        if image.ndim != plan.dims + 1 or image.shape[0] != plan.in_channels:
            raise DataError(
                f"an image of {image.shape} for a model of {plan.in_channels} channels and "
                f"{plan.dims} spatial axes",
                code="model-mismatch",
                about=key,
                hint="select samples like those the model was trained on",
            )
        known = all(channel.scheme != "zscore" for channel in plan.channels)
        known = known or stored_statistics(row, plan.in_channels) is not None
        normalise = plan.normaliser(row, None if known else _statistics(_parts(image)))
        arrays: dict[str, np.ndarray | Slabs]
        if self._trained.task.dense:
            held = math.prod(image.shape) * image.dtype.itemsize * len(unit.inputs) <= AHEAD_BYTES
            parts = iter([image[...]]) if held else _parts(image)
            normalised = (normalise(part) for part in parts)
            arrays = {"image": Slabs(image.shape, np.dtype(np.float32), 1, normalised)}
        else:
            fitted = whole_image(torch.from_numpy(normalise(image[...])), plan.patch)
            arrays = {"image": fitted.numpy()}
        name = row.pop("sample_id")
        kept = {name: row[name] for name in row if not name.startswith(_DESCRIBE_ARRAYS)}
        yield Sample(name, kept, arrays)

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each input sample, in order."""
        if self._trained.task.dense:
            for sample in samples:
                yield self._mask(sample)
        else:
            yield from self._decide(samples)

    def _mask(self, sample: Sample) -> Sample:
        trained, options = self._trained, self.parameters
        plan, image = trained.plan, sample.arrays["image"]
        space = image.shape[1:]
        inner = plan.network_shape(space, sample.row.get("spacing_mm"))
        slabs = predict_volume(
            trained.network,
            image
            if isinstance(image, Slabs)
            else Slabs(image.shape, image.dtype, 1, iter([image])),
            roi=plan.window(inner, trained.network.divisor),
            overlap=options["overlap"],
            batch=options["batch"],
            mirror_axes=plan.mirror_axes if options["tta"] else (),
            precision=options["precision"],
            outputs=options["outputs"],
            network_shape=inner,
            device=trained.device,
        )
        made = Sample(sample.id, dict(sample.row))
        if options["outputs"] == "probabilities":
            shape = (len(plan.classes), *space)
            made.arrays["probability"] = Slabs(shape, np.dtype(np.float32), 1, slabs)
        elif trained.task.needs_whole_mask:
            mask = trained.task.postprocess(np.concatenate(list(slabs)))
            (made.arrays["label"],) = _counted(iter([mask]), len(plan.classes), made.row)
        else:
            counted = _counted(slabs, len(plan.classes), made.row)
            made.arrays["label"] = Slabs(space, np.dtype(np.uint8), 0, counted)
        return made

    def _decide(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        trained, options = self._trained, self.parameters
        images = torch.stack([torch.as_tensor(sample.arrays["image"]) for sample in samples])
        if options["precision"] == "bf16":
            images = images.to(torch.bfloat16)
        mirror_axes = trained.plan.mirror_axes if options["tta"] else ()
        logits = forward(trained.network, images.to(trained.device), mirror_axes)
        require_finite(logits)
        probabilities = trained.task.probabilities(logits).cpu().numpy()
        for sample, values in zip(samples, probabilities, strict=True):
            yield Sample(sample.id, sample.row | trained.task.decide(values))


def _counted(
    slabs: Iterator[np.ndarray], classes: int, row: dict[str, Any]
) -> Iterator[np.ndarray]:
    """The slabs as they are; once they have passed, `row` holds `label_voxels`, as after ingest."""
    voxels = np.zeros(classes, np.int64)
    for slab in slabs:
        voxels += np.bincount(slab.reshape(-1), minlength=classes)
        yield slab
    row["label_voxels"] = voxels.tolist()


def _parts(image: SampleArray) -> Iterator[np.ndarray]:
    """Slabs along axis 1 that begin and end where stored chunks do."""
    depth, step = image.shape[1], image.chunk[1]
    for start in range(0, depth, step):
        yield image[:, start : min(start + step, depth)]


def _statistics(parts: Iterable[np.ndarray]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, merged over slabs (Chan et al. 1979)."""
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for part in parts:
        flat = part.reshape(part.shape[0], -1).astype(np.float64)
        own = flat.mean(1)
        apart, total = own - mean, count + flat.shape[1]
        squares = squares + ((flat - own[:, None]) ** 2).sum(1)
        squares = squares + apart**2 * (count * flat.shape[1] / total)
        mean = mean + apart * (flat.shape[1] / total)
        count = total
    return mean.tolist(), np.sqrt(squares / count).tolist()
