"""How a model of images answers with maps of what it looks at beside the answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from medray.errors import SpecError
from medray.modalities.base import Asking, Trained, giving
from medray.modalities.image.explain import EXPLAINED, MAP, no_grad_cam
from medray.modalities.image.explain.checks import COUNT, Checks, columns
from medray.modalities.image.explain.grids import SLAB_BYTES, drawn, on_own_grid, peaked
from medray.modalities.image.explain.methods import attribute
from medray.modalities.image.explain.target import OfClass, explained, regions
from medray.modalities.image.explain.volume import Window, explain_volume
from medray.modalities.image.predictor import ImagePredictor
from medray.models.image.base import ImageNetwork
from medray.storage.shards.forms.ome import IMAGE
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Sliceable, Stored, whole

AGAIN = "explained"  # array of a prepared sample: its image once more


@dataclass
class Prepared(Sample):
    """A sample as the network takes it, and what its map is put back on.

    Args:
        space: shape of the image, spatial.
        mask: of the sample, where something is drawn in it.
    """

    space: tuple[int, ...] = field(kw_only=True)
    mask: Sliceable | None = field(kw_only=True)


class ExplainingPredictor(ImagePredictor):
    """Answers as without it, and array `attribution` besides, on the image's own grid: of whole
    images (1, *space), of masks and boxes a map for each of the task's findings. With `checks`
    there are columns that say what the maps are worth. Behind an answer to a whole image stand its
    checks and its map, so that of several networks all of it is averaged, of what they call
    together.

    Raises:
        SpecError: Grad-CAM of boxes, or of a network that names no map of features (code
            "no-attributions").
    """

    def __init__(self, trained: Trained, asked: Asking) -> None:
        super().__init__(trained, asked)
        self._how = asked.options.outputs
        self._levels = cast("ImageNetwork", trained.network).feature_maps
        if self._how == "grad-cam" and trained.task.answers == "objects":
            raise no_grad_cam(trained.reference)
        if self._how == "grad-cam" and not self._levels:
            raise SpecError(
                "the network names no map of features",
                code="no-attributions",
                about=trained.reference,
                hint="ask for integrated-gradients or occlusion",
            )
        # Masks and boxes are another predictor's; maps stand beside them.
        self._plain = trained.modality.predictor(trained, giving(asked, "labels"))
        self._checks = Checks(trained.network, self._levels, self._how, trained.task.sure)

    @property
    def arrays(self) -> Arrays:
        """See ImagePredictor; and maps."""
        return {**self._plain.arrays, MAP: replace(IMAGE, dtypes=("float32",))}

    @property
    def short(self) -> bool:
        """See Predictor: maps are as large as their images."""
        return False

    def prepare(self, stored: Stored, together: int) -> Sample:
        """See ImagePredictor; of what goes by windows with the image once more."""
        made = super().prepare(stored, together)
        if self.by_windows:
            made.arrays[AGAIN] = super().prepare(stored, together).arrays["image"]
        mask, space = None, tuple(stored.array("image").shape[1:])
        if "label" in stored.names:
            mask = stored.array("label")
            if tuple(mask.shape) != space or not drawn(stored.row, mask):
                mask = None
        return Prepared(made.id, made.row, made.arrays, space=space, mask=mask)

    def behind(self, samples: Sequence[Sample], answers: np.ndarray) -> np.ndarray:
        """See Answering."""
        device = self.trained.device
        images = torch.stack([torch.as_tensor(whole(one.arrays["image"])) for one in samples])
        images = images.float().to(device)
        which = explained(torch.from_numpy(answers)).to(device)
        target = OfClass(which, self.trained.task.exclusive)
        network = self.trained.network
        maps = attribute(self._how, network, self._levels, images, target)
        flat = maps.flatten(1).cpu().numpy()
        if not self.asked.options.checks:
            return flat
        checked = self._checks.of(images, maps, target, [one.id for one in samples])
        return np.concatenate([checked, flat], axis=1)

    def columns_of(self, answer: np.ndarray) -> dict[str, Any]:
        """See Predictor; of two classes the second is explained, of more the likeliest."""
        checked = COUNT * self.asked.options.checks
        size = len(answer) - int(np.prod(self.plan.patch)) - checked
        row = super().columns_of(answer[:size])
        which = int(explained(torch.from_numpy(answer[None, :size]))[0])
        row[EXPLAINED] = [self.plan.classes[which]]
        return row | (columns(answer[size : size + checked]) if checked else {})

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Answering."""
        prepared = cast("Prepared", sample)
        made = super().finish(sample, answer)
        patch = self.plan.patch
        found = answer[-int(np.prod(patch)) :].reshape(patch)
        slabs = on_own_grid(found, prepared.space)
        made.arrays[MAP] = self._put(slabs, (1, *prepared.space), made.row, prepared.mask)
        return made

    def mask(self, sample: Sample) -> Sample:
        """Its mask, or its boxes, and maps of what was found."""
        again, prepared = sample.arrays.pop(AGAIN), cast("Prepared", sample)
        image = (
            again if isinstance(again, Slabs) else Slabs(again.shape, again.dtype, 1, iter([again]))
        )
        (made,) = self._plain.compute([sample])
        plan, trained, task = self.plan, self.trained, self.trained.task
        network = cast("ImageNetwork", trained.network)
        inner = plan.network_shape(prepared.space, sample.row.get("spacing_mm"))
        made.row[EXPLAINED] = [task.channels[number] for number in task.findings]

        def tell(window: Window) -> None:
            parts = (window.image, window.found, window.target)
            (numbers,) = self._checks.of(*parts, [sample.id])
            made.row.update(columns(numbers))

        slabs = explain_volume(
            self._how,
            network,
            self._levels,
            image,
            partial(regions, task),
            roi=plan.window(inner, network.divisor),
            overlap=self.asked.options.overlap,
            batch=self.asked.batch,
            network_shape=inner,
            device=trained.device,
            tell=tell if self.asked.options.checks else None,
        )
        shape = (len(task.findings), *prepared.space)
        made.arrays[MAP] = self._put(slabs, shape, made.row, None)
        return made

    def _put(
        self,
        slabs: Iterator[np.ndarray],
        shape: tuple[int, ...],
        row: dict[str, Any],
        mask: Sliceable | None,
    ) -> np.ndarray | Slabs:
        """A map, whole where it is small: of those that are stored together."""
        seen = peaked(slabs, row, mask) if shape[0] == 1 else slabs
        if 4 * int(np.prod(shape)) <= SLAB_BYTES:
            return np.concatenate(list(seen), axis=1)
        return Slabs(shape, np.dtype(np.float32), 1, seen)
