"""Segmentation: one class for every voxel."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from medray.errors import DataError
from medray.models.base import Logits
from medray.storage.samples import Sample
from medray.tasks.base import ClassWeights, ImageTaskOptions, Task, weights_of, whole
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.overlap import confusion, overlap
from medray.tasks.metrics.segmentation import score_segmentation, summarise_segmentation

SMOOTH = 1e-5  # of the Dice loss, as nnU-Net; matters for classes that a patch lacks


class Segmentation(Task):
    """Dice and cross-entropy (Isensee et al. 2021), focal on request (Lin et al. 2017)."""

    class Options(ImageTaskOptions):
        """What can be chosen."""

        classes: tuple[str, ...] = Field(min_length=2, description="of labels 0, 1, …")
        ignore: bool = Field(
            False,
            description="labels hold one value more, behind those of the classes: its voxels take "
            "no part in loss and scores (nnU-Net's label `ignore`)",
        )
        dice: float = Field(1, ge=0, description="weight of the Dice loss")
        cross_entropy: float = Field(1, ge=0, description="weight of the cross-entropy")
        dice_over: Literal["sample", "batch"] = Field(
            "sample",
            description="batch: of all samples together, steadier for rare classes, but it hangs "
            "on how a batch is spread over workers",
        )
        dice_background: bool = Field(False, description="count class 0 in the Dice loss")
        focal_gamma: float = Field(0, ge=0, description="0: plain cross-entropy")
        class_weights: ClassWeights = Field("none", description="in the cross-entropy")
        label_smoothing: float = Field(0, ge=0, lt=1)
        keep_largest: bool = Field(
            False, description="of each class only the largest connected part is kept"
        )
        min_voxels: int = Field(0, ge=0, description="connected parts below this are removed")

    name: ClassVar[str] = "segmentation"
    dense: ClassVar[bool] = True
    metric: ClassVar[str] = "val_dice"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.ignored = options.ignore
        weights = weights_of(options.class_weights, len(options.classes), frequencies)
        self._weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task."""
        return self.options.classes

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is the label array."""
        return None

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task. With deep supervision each coarser output weighs half of the one before it;
        targets are shrunk to it by nearest neighbour."""
        if isinstance(outputs, Tensor):
            return self._loss(outputs, target)
        total, weight = torch.zeros(len(target), device=target.device), 0.0
        for level, logits in enumerate(outputs):
            shrunk = target
            if level:
                coarse = functional.interpolate(target[:, None].float(), logits.shape[2:])
                shrunk = coarse[:, 0].long()
            total = total + self._loss(logits, shrunk) * 0.5**level
            weight += 0.5**level
        return total / weight

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.float().log_softmax(1)
        target = target[:, None]
        known = None
        if self.ignored:
            known = target < logits.shape[1]
            target = target * known
        losses = []
        if self.options.cross_entropy:
            losses.append(self.options.cross_entropy * self._cross_entropy(log_p, target, known))
        if self.options.dice:
            losses.append(self.options.dice * self._dice(log_p.exp(), target, known))
        return torch.stack(losses).sum(0)

    def _cross_entropy(self, log_p: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
        smoothing = self.options.label_smoothing
        loss = -log_p.gather(1, target)[:, 0]
        if self.options.focal_gamma:
            loss = loss * (1 - (-loss).exp()) ** self.options.focal_gamma
        if smoothing:
            loss = (1 - smoothing) * loss - smoothing * log_p.mean(1)
        if self._weights is not None:
            loss = loss * self._weights.to(loss.device)[target[:, 0]]
        if known is not None:
            loss = loss * known[:, 0]
            return loss.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
        return loss.flatten(1).mean(1)

    def _dice(self, p: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
        first = 0 if self.options.dice_background else 1
        names = torch.arange(first, p.shape[1], device=p.device)
        p = p[:, first:]
        mask = target == names.view(1, -1, *[1] * (p.ndim - 2))
        if known is not None:
            p = p * known  # the target is background there, which a mask of it must not count
            mask = mask & known
        over = list(range(2, p.ndim))
        if self.options.dice_over == "batch":
            over = [0, *over]
        both = (p * mask).sum(over)
        size = p.sum(over) + mask.sum(over)
        dice = (2 * both + SMOOTH) / (size + SMOOTH)
        if self.options.dice_over == "batch":
            return (1 - dice.mean()).expand(len(p))
        return 1 - dice.mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes."""
        return logits.float().softmax(1)

    @property
    def columns(self) -> int:
        """Dice of each class but the background."""
        return len(self.classes) - 1

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Dice of each class but the background; NaN where neither mask has it."""
        truth = _present(truth)
        if self.ignored:
            known = truth < len(self.classes)
            answer, truth = answer[known], truth[known]
        counts = confusion(answer, truth, len(self.classes))
        dices = [overlap(counts, label).dice for label in range(1, len(self.classes))]
        return [float("nan") if dice is None else dice for dice in dices]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_dice`, the mean over classes of the mean over cases, and it of each class."""
        known = ~np.isnan(table)
        total, cases = np.where(known, table, 0).sum(0), known.sum(0)
        means = np.divide(total, cases, out=np.full(len(total), np.nan), where=cases > 0)
        found = means[~np.isnan(means)]
        metrics = {"val_dice": float(found.mean()) if found.size else float("nan")}
        for name, mean in zip(self.classes[1:], means, strict=True):
            metrics[f"val_dice_{name}"] = float(mean)
        return metrics

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_dice", *(f"val_dice_{name}" for name in self.classes[1:])})

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """A row per class but the background; see medray.tasks.metrics.segmentation."""
        actual = whole(truth, "label")
        predicted = None if prediction is None else whole(prediction, "label")
        spacing = tuple(truth.row.get("spacing_mm") or [1.0] * actual.ndim)
        if not self.ignored:
            return score_segmentation(predicted, actual, spacing, self.classes)
        known = actual < len(self.classes)
        # As background in both, they are neither right nor wrong, and surfaces end at their rim.
        actual = actual * known
        if predicted is not None and predicted.shape == known.shape:
            predicted = predicted * known
        rows = score_segmentation(predicted, actual, spacing, self.classes)
        for row in rows if predicted is not None else []:
            row["voxel_error"] *= known.size / max(1, int(known.sum()))
        return rows

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        return summarise_segmentation(cases, bootstrap)

    @property
    def needs_whole_mask(self) -> bool:
        """Whether `postprocess` changes anything: masks can be written slab by slab if not."""
        return self.options.keep_largest or self.options.min_voxels > 0

    def postprocess(self, labels: np.ndarray) -> np.ndarray:
        """Remove connected parts that the options don't keep.

        Args:
            labels: (*space), of a whole image; parts touch by faces, edges or corners.

        Returns:
            The same shape and dtype; what is removed becomes background.
        """
        if not self.needs_whole_mask:
            return labels
        labels = labels.copy()
        touching = np.ones((3,) * labels.ndim)
        for label in range(1, len(self.classes)):
            parts, count = ndimage.label(labels == label, touching)
            if not count:
                continue
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            keep = sizes >= max(self.options.min_voxels, 1)
            if self.options.keep_largest:
                keep &= np.arange(len(sizes)) == sizes.argmax()
            keep[0] = True
            labels[~keep[parts]] = 0
        return labels


def _present(truth: np.ndarray | None) -> np.ndarray:
    if truth is None:
        raise DataError("the case has no label", code="no-label", hint="select labelled samples")
    return truth
