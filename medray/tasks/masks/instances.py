"""Instances: every nucleus, cell or particle by a number of its own, in two or three dimensions.

The network learns three classes of voxels: none, inside, and border, the rim of an instance. In an
answer each connected part of `inside` is a seed, and seeds grow into the border voxel by voxel, so
that instances that touch stay two (the classes are those of Caicedo et al. 2019, doi
10.1002/cyto.a.23863).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from medray.errors import DataError
from medray.models.base import Answers, Logits
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored
from medray.tasks.base import Task, whole
from medray.tasks.masks.parts import most_probable
from medray.tasks.masks.voxel_loss import VoxelLoss, VoxelLossOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.instances import score_instances, summarise_instances
from medray.tasks.section import Picture, ScoredCases, Section, Table, case_table, picked

NONE, INSIDE, BORDER = 0, 1, 2
MOST = 2**16 - 1  # numbers that a mask of 16 bits holds
JUDGED = ("pq", "aji", "iou", "foreground_iou")
DEFINED = (
    "PQ is the sum of the IoU of matched instances (IoU above 0.5) over these and half of the "
    "unmatched ones of either side: SQ, the mean IoU of pairs, times F1. AJI is all that instances "
    "share with what they overlap most, over all they cover together. The IoU of instances is the "
    "mean over the true ones of the largest IoU with a predicted one, 0 of those that were missed; "
    "that of the foreground takes all together. Cases without instances on both sides are left out."
)


class Instances(Task):
    """Instances of one kind."""

    class Options(VoxelLossOptions):
        """What can be chosen."""

        border: int = Field(1, ge=1, le=8, description="voxels that the rim of an instance is wide")
        neck: float = Field(
            1,
            ge=0,
            description="seeds are parted at a neck where both sides of it are by so many voxels "
            "deeper; 0: they are not",
        )
        min_voxels: int = Field(0, ge=0, description="instances below this are removed")

    name: ClassVar[str] = "instances"
    answers: ClassVar[Answers] = "place"
    over: ClassVar[frozenset[str]] = frozenset({"space"})
    numbered: ClassVar[bool] = True
    exclusive = True
    metric: ClassVar[str] = "val_pq"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "pq": Metric("PQ", headline=True),
        "aji": Metric("AJI", headline=True),
        "iou": Metric("IoU of instances", headline=True),
        "foreground_iou": Metric("IoU of the foreground", headline=True),
        "sq": Metric("SQ"),
        "f1": Metric("F1"),
        "actual": Metric("instances", kind="count"),
        "predicted": Metric("predicted", kind="count"),
        "matched": Metric("matched", kind="count"),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self._loss = VoxelLoss(options, len(self.classes), frequencies)

    @property
    def classes(self) -> tuple[str, ...]:
        """Of voxels, as the network tells them apart."""
        return ("none", "inside", "border")

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is made of the label array."""
        return None

    def places(self, label: np.ndarray) -> np.ndarray:
        """Classes of voxels, uint8, of numbered instances: an instance's border are its voxels with
        another value within `border` steps, faces, edges and corners counted. The image's rim is
        no border."""
        other = np.zeros(label.shape, bool)
        size = 2 * self.options.border + 1
        np.not_equal(ndimage.maximum_filter(label, size, mode="nearest"), label, out=other)
        other |= ndimage.minimum_filter(label, size, mode="nearest") != label
        return np.where(label > 0, np.where(other, BORDER, INSIDE), NONE).astype(np.uint8)

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See medray.tasks.masks.voxel_loss."""
        return self._loss(outputs, target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes of voxels."""
        return logits.float().softmax(1)

    @property
    def columns(self) -> int:
        """See `judge`."""
        return len(JUDGED)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """PQ, AJI and both IoU; NaN where there is no instance on either side."""
        if truth is None:
            raise DataError("the case has no label", code="no-label", hint="select labelled ones")
        row = score_instances(self.split(answer), truth)
        return [float("nan") if row[name] is None else row[name] for name in JUDGED]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """Means over the cases that have instances."""
        known = ~np.isnan(table).any(1)
        means = table[known].mean(0) if known.any() else np.full(len(JUDGED), np.nan)
        return {f"val_{name}": float(mean) for name, mean in zip(JUDGED, means, strict=True)}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset(f"val_{name}" for name in JUDGED)

    def wants(self, truth: bool) -> tuple[str, ...]:
        """Numbered instances, or what they can be made of."""
        return ("label",) if truth else ("label", "probability")

    def given(self, prediction: Stored) -> Sample:
        """With its instances; of probabilities those that the most probable classes make."""
        if "label" in prediction.names or "probability" not in prediction.names:
            return super().given(prediction)
        classes = most_probable(prediction.array("probability"))
        return Sample(prediction.id, dict(prediction.row), {"label": self.split(classes)})

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; see medray.tasks.metrics.instances."""
        predicted = None if prediction is None else whole(prediction, "label")
        return [score_instances(predicted, whole(truth, "label"))]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        return summarise_instances(cases, bootstrap)

    def section(self, scores: ScoredCases) -> Section:
        """How many were found in all, and the best, the median and the worst case as pictures."""
        made = super().section(scores)
        counts = {name: self.metrics[name] for name in ("actual", "predicted", "matched")}
        return replace(
            made,
            tables=[Table(counts, [scores.summary["totals"]]), *made.tables],
            pictures=[
                Picture(
                    title,
                    f"PQ {pq:.3f}",
                    [(case, "")],
                    case_table([r for r in scores.cases if r["case"] == case], self.metrics),
                )
                for title, case, pq in picked(scores.cases, "pq", self.metrics["pq"])
            ],
            definitions=[DEFINED],
        )

    def postprocess(self, slabs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Numbered instances, uint16, of classes of voxels. The mask is held whole.

        Raises:
            DataError: there are more than 65,535 (code "too-many-instances").
        """
        yield self.split(np.concatenate(list(slabs)))

    def counted(self, voxels: np.ndarray) -> dict[str, Any]:
        """How many instances a mask has, and the voxels of each, by its number from 1."""
        return {"instances": len(voxels) - 1, "instance_voxels": [int(n) for n in voxels[1:]]}

    def split(self, classes: np.ndarray) -> np.ndarray:
        """Numbered instances, uint16 from 1, of classes of voxels (*space).

        Parts of `inside` that touch by faces are one seed. Border that no seed can reach is an
        instance too: it is too thin to have an inside.

        Raises:
            DataError: there are more than 65,535 (code "too-many-instances").
        """
        seeds, count = ndimage.label(classes == INSIDE)
        if self.options.neck and count:
            seeds, count = parted(seeds, self.options.neck)
        grown = grow(seeds, classes != NONE)
        rest, more = ndimage.label((classes != NONE) & (grown == 0))
        grown += np.where(rest > 0, rest + count, 0)
        voxels = np.bincount(grown.ravel(), minlength=count + more + 1)
        kept = voxels >= max(1, self.options.min_voxels)
        kept[0] = False
        if kept.sum() > MOST:
            raise DataError(
                f"{int(kept.sum())} instances are more than a mask of 16 bits can number",
                code="too-many-instances",
                hint="cut the image into pieces, or remove small ones by `min_voxels`",
            )
        numbers = np.where(kept, np.cumsum(kept), 0).astype(np.uint16)
        made: np.ndarray = numbers[grown]
        return made


def parted(seeds: np.ndarray, neck: float) -> tuple[np.ndarray, int]:
    """Part numbered seeds at their necks, as erosion step by step would.

    A seed falls into several where those of its voxels that are deeper than some level do, if at
    least two of these parts are deeper by `neck` still. Convex seeds stay whole.

    Args:
        seeds: numbers from 1, 0 where there is none.
        neck: voxels.

    Returns:
        New numbers from 1, of the cores alone where a seed was parted, and how many there are.
    """
    depth = ndimage.distance_transform_edt(seeds > 0)
    made, level = seeds.copy(), 1.0
    while level + neck < depth.max():
        parts, count = ndimage.label((depth > level) & (made > 0))
        numbers = np.arange(1, count + 1)
        deep = np.asarray(ndimage.maximum(depth, parts, numbers)) >= level + neck
        owners = np.asarray(ndimage.maximum(made, parts, numbers)).astype(np.int64)
        several = np.bincount(owners[deep], minlength=int(made.max()) + 1) > 1
        if several.any():
            fresh = np.zeros(count + 1, made.dtype)
            new = deep & several[owners]
            fresh[1:][new] = made.max() + 1 + np.arange(new.sum())
            made = np.where(several[made], fresh[parts], made)
        level += 0.5
    kept, numbers = np.unique(made, return_inverse=True)
    return numbers.reshape(made.shape), len(kept) - 1


def grow(seeds: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Grow numbered seeds through a mask, a voxel by faces at a time, all at the same pace.

    Args:
        seeds: numbers, 0 where there is none.
        inside: bool of the same shape: what may be taken.

    Returns:
        Numbers of all voxels that a seed reaches. Where two reach one in the same step, the larger
        number has it.
    """
    grown: np.ndarray = np.where(inside, seeds, 0)
    cross = ndimage.generate_binary_structure(grown.ndim, 1)
    while True:
        wider = ndimage.grey_dilation(grown, footprint=cross)
        new = inside & (grown == 0) & (wider > 0)
        if not new.any():
            return grown
        grown[new] = wider[new]
