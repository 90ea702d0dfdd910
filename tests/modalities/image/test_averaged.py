"""Several networks as one: their mean in one pass, window by window."""

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from medray.errors import SpecError
from medray.modalities.image import Images
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.sliding.infer import predict_volume
from medray.models.base import Network
from medray.models.image.unet import UNet
from medray.storage.shards.samples import Slabs
from medray.tasks import build_task

TASK = build_task({"name": "segmentation", "classes": ["none", "a", "b"]})
PLAN = ImagePlan(
    dims=3,
    in_channels=1,
    answers="place",
    classes=TASK.classes,
    patch=(8, 8, 8),
    batch_size=2,
    channels=(ChannelNorm(scheme="zscore"),),
    pool_steps=((2, 2, 2),),
    frequencies=(0.5, 0.25, 0.25),
    median_shape=(8, 8, 8),
    samples=4,
)


def networks(count: int) -> list[Network]:
    torch.manual_seed(3)
    made = [
        UNet.build(UNet.Options(dims=3, features=(4, 8)), 1, 3, (8, 8, 8)) for _ in range(count)
    ]
    for network in made:
        for head in network.heads:
            head.weight.data.mul_(8)  # so that the networks are sure of different things
    return [network.eval().requires_grad_(False) for network in made]


def united(some: list[Network]) -> Network:
    made = Images().united(some, [PLAN] * len(some), TASK)
    assert made is not None
    return made


def test_one_window_gives_the_mean_of_probabilities() -> None:
    some = networks(3)
    windows = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    told = [one(windows).softmax(1) for one in some]
    assert (told[0] - told[1]).abs().max() > 0.2
    mean = united(some)(windows).softmax(1)
    torch.testing.assert_close(mean, torch.stack(told).mean(0), atol=1e-6, rtol=0)


def test_windows_of_the_mean_are_blended_as_those_of_one_network_are() -> None:
    some, shape = networks(2), (19, 14, 17)
    image = np.random.default_rng(2).normal(size=(1, *shape)).astype(np.float32)

    def mean(windows: Tensor) -> Tensor:
        return torch.stack([one(windows).softmax(1) for one in some]).mean(0).log()

    with torch.inference_mode():
        blended = sliding_window_inference(
            torch.from_numpy(image)[None], (8, 8, 8), 1, mean, overlap=0.5, mode="gaussian"
        )
    assert isinstance(blended, Tensor)
    slabs = Slabs(image.shape, image.dtype, 1, iter([image[:, :7], image[:, 7:]]))
    made = predict_volume(united(some), slabs, roi=(8, 8, 8), outputs="probabilities")
    np.testing.assert_allclose(
        np.concatenate(list(made), axis=1), blended[0].softmax(0).numpy(), atol=1e-5
    )


def test_a_probability_of_nothing_is_still_a_number() -> None:
    certain = torch.tensor([[0.0], [-400.0], [-400.0]])[None]
    assert torch.isfinite(TASK.logits(TASK.probabilities(certain))).all()


def test_networks_of_other_grids_are_not_one() -> None:
    other = PLAN.model_copy(update={"spacing_mm": (1.0, 1.0, 2.0)})
    with pytest.raises(SpecError) as caught:
        Images().united(networks(2), [PLAN, other], TASK)
    assert caught.value.code == "other-grid"


def test_answers_of_whole_images_are_averaged_when_they_are_made() -> None:
    whole = build_task({"name": "classification", "classes": ["a", "b"]})
    assert Images().united(networks(2), [PLAN, PLAN], whole) is None
