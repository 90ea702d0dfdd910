"""Images with the masks that a coarse network has drawn of them, for a fine one to go by."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from medray.errors import DataError, SpecError
from medray.modalities.image.guide import GUIDE, GUIDE_CLASSES
from medray.modalities.learnt import Learnt
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.shards.forms.ome import IMAGE, LABEL
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.sample_array import SampleArray
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays, ArraySpec
from medray.storage.shards.stored import InShard

PREDICTIONS = "predictions"
SPACING_ERROR = 1e-3  # of a voxel's size
AFFINE_ERROR_MM = 1e-2


class Cascade(Transformation):
    """Each sample as it was, with array `guide`, the mask that `predictions` have of it.

    No network drew a guide that had learnt from its sample, or from another of the subject: what
    learns with such guides would trust masks that are too good. So the first model is trained by
    folds, which answer for what each held out.
    """

    class Options(TransformOptions):
        """Nothing can be chosen."""

    name: ClassVar[str] = "cascade"
    roles: ClassVar[tuple[str, ...]] = (PREDICTIONS,)
    required: ClassVar[frozenset[str]] = frozenset({PREDICTIONS})
    options: Options

    @classmethod
    def needs(cls, options: Options, role: str = "") -> Needs:
        """Images, and masks of them."""
        if role:
            return Needs((names("label"),), hint="predict masks: `outputs: labels`")
        return Needs((names("image"),), hint="ingest images")

    @classmethod
    def arrays(cls, options: Options, using: frozenset[str]) -> Arrays:
        """The image, the truth where there is one, and the guide."""
        return {"image": IMAGE, "label": LABEL, GUIDE: LABEL}

    @property
    def declared(self) -> Arrays:
        """Those that there were, and the guide."""
        return {**self.data.manifest.arrays, GUIDE: LABEL}

    @classmethod
    def holds(cls, options: Options, using: frozenset[str]) -> Holds:
        """Images with guides, and all columns that there were."""
        return Holds(named(cls.arrays(options, using)))

    def accept(self) -> None:
        """See Transformation, `_classes` and `_learnt`."""
        _ = self._classes, self._learnt

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """The sample with its guide.

        Raises:
            DataError: there is no mask of it (code "no-guide"), one of another grid
                ("guide-geometry"), or one of a network that learnt from the sample or its subject
                ("guide-learnt").
        """
        classes = self._classes
        mask = self._mask_of(sample)
        if self._has_learnt(sample):
            raise DataError(
                "the network that drew the guide learnt from the sample or its subject",
                code="guide-learnt",
                about=sample.id,
                hint="train the coarse model by `folds`, and predict the samples that it learnt "
                "from where they are",
            )
        row = {**sample.row, GUIDE_CLASSES: list(classes)}
        specs = self.declared
        there = {name: sample.array(name) for name in sample.names} | {GUIDE: mask}
        made = {name: _slabs(array, specs[name]) for name, array in there.items()}
        yield Sample(sample.id, row, {**made})

    def _mask_of(self, sample: InShard) -> SampleArray:
        predictions = self.using[PREDICTIONS]
        if sample.id not in self._drawn:
            raise DataError(
                "there is no mask of the sample",
                code="no-guide",
                about=sample.id,
                hint="predict every sample that the fine network is to learn from or answer",
            )
        index, row = self._drawn[sample.id]
        mask = predictions.array(index, "label")
        space = tuple(sample.array("image").shape[1:])
        if tuple(mask.shape) != space or not _alike(sample.row, row):
            raise DataError(
                f"a mask of {tuple(mask.shape)} for an image of {space}, or of other voxels",
                code="guide-geometry",
                about=sample.id,
                hint="predict this very image by the coarse model",
            )
        return mask

    def _has_learnt(self, sample: InShard) -> bool:
        learnt, held_out = self._learnt, self.using[PREDICTIONS].attributes.get("held_out")
        subject = [str(sample.row.get("subject") or "")]
        fold = sample.id if self._column == "sample_id" else sample.row.get(self._column)
        asked = learnt.asked(held_out, subject, [fold] if self._column else None)
        saw = learnt.saw("samples", [sample.id]) | learnt.saw("subjects", subject)
        return bool((asked & saw).any())

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Of the masks.

        Raises:
            SpecError: they are no masks of classes by a model (code "no-masks").
        """
        from medray.tasks import build_task  # loads torch

        predictions = self.using[PREDICTIONS]
        options = predictions.attributes.get("task")
        task = None if options is None else build_task(options)
        if task is None or task.answers != "place" or task.numbered:
            raise SpecError(
                "the predictions are no masks of classes",
                code="no-masks",
                about=predictions.reference,
                hint="take those of a model that draws masks, as `kind: predict` makes them",
            )
        return tuple(task.classes)

    @cached_property
    def _learnt(self) -> Learnt:
        """What the networks learnt from that drew the masks.

        Raises:
            SpecError: the model is gone ("no-such-model"), or does not say ("not-told").
        """
        package = self._package
        learnt = Learnt(package)
        if not learnt.members:
            raise SpecError(
                "the model does not say what it learnt from",
                code="not-told",
                about=package.reference,
                hint="train it again",
            )
        return learnt

    @cached_property
    def _column(self) -> str:
        """That parted the samples into folds; "": none did."""
        return str(self._package.config.get("folds", {}).get("column") or "")

    @cached_property
    def _package(self) -> ModelPackage:
        """Of the networks that drew the masks.

        Raises:
            SpecError: it is gone (code "no-such-model").
        """
        predictions = self.using[PREDICTIONS]
        return open_model(predictions.objects, str(predictions.attributes["model"]))

    @cached_property
    def _drawn(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Of each sample that was predicted the number, and what is known of its grid."""
        predictions = self.using[PREDICTIONS]
        wanted = [n for n in ("spacing_mm", "affine") if n in predictions.manifest.columns]
        rows = predictions.columns(["sample_id", *wanted]).to_pylist()
        return {str(row.pop("sample_id")): (at, row) for at, row in enumerate(rows)}


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether voxels have one size and place, as far as both tell."""
    sizes, others = one.get("spacing_mm"), other.get("spacing_mm")
    if sizes and others and not np.allclose(sizes, others, rtol=SPACING_ERROR, atol=0):
        return False
    here, there = one.get("affine"), other.get("affine")
    return not (here and there) or np.allclose(here, there, rtol=0, atol=AFFINE_ERROR_MM)


def _slabs(array: SampleArray, spec: ArraySpec) -> Slabs:
    """An array as it lies, a row of chunks at a time, along its first axis of space."""
    axis, size = spec.slab_axis, array.shape[spec.slab_axis]
    before = (slice(None),) * axis
    step = max(1, array.chunk[axis])
    parts = (array[(*before, slice(at, min(at + step, size)))] for at in range(0, size, step))
    return Slabs(array.shape, np.dtype(array.dtype), axis, parts)
