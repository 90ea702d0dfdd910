"""Training: the same first losses wherever and however it runs, and a card that does not wait."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training import loop
from medray.engine.training.loop import fit
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import make_plan
from medray.modalities.image.survey import fingerprint
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from tests.gpu.claims import CUDA, ON_CARD, Claim

# Warnings of CUDA's libraries differ from machine to machine.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
CLASSES = ["background", "a", "b"]
FIRST = 5


def training(data: Dataset, patch: int, features: list[int], run: str, **given: Any) -> TrainSetup:
    """A training of a 3-D U-Net; `given` are train settings."""
    options = {"name": "segmentation", "classes": CLASSES}
    task = build_task(options)
    look = fingerprint(data, data.select({"split": "train"}), task)
    plan = make_plan(look, task, given=ImagePlanOptions(patch=(patch,) * 3))
    given = {"epochs": 2, "steps_per_epoch": FIRST, "batch_size": 4, **given}
    settings = TrainSettings(optimiser=OptimiserSettings(lr=1e-2), **given)
    model = {"name": "unet", "dims": 3, "features": features}
    return TrainSetup(data.objects, data.reference, options, model, plan, settings, f"runs/{run}")


def losses(setup: TrainSetup, world: World) -> list[float]:
    return [row["loss"] for row in fit(setup, world).rows]


def apart(one: list[float], other: list[float]) -> float:
    """The largest difference, as a share of the loss."""
    return float(np.max(np.abs(np.subtract(one, other) / np.asarray(other))))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_rank_in_a_group_has_the_losses_of_a_cpu(
    balls: Dataset, alone: Callable[[], World], claim: Claim, strategy: str
) -> None:
    wanted = losses(training(balls, 8, [4, 8], "cpu"), World())[:FIRST]
    found = losses(training(balls, 8, [4, 8], strategy, strategy=strategy), alone())[:FIRST]
    off = apart(found, wanted)
    claim.at_most(f"{strategy}, one rank: first losses off a CPU's", off, 5e-3, on_cpu=1e-5)


PRECISIONS = [
    pytest.param("cpu", "bf16"),
    *(pytest.param("cuda", name, marks=ON_CARD) for name in ("fp32", "bf16", "fp16")),
]


@pytest.mark.parametrize(("device", "precision"), PRECISIONS, indirect=["device"])
def test_a_precision_has_the_losses_of_fp32_on_a_cpu(
    balls: Dataset, device: str, claim: Claim, precision: str
) -> None:
    wanted = losses(training(balls, 8, [4, 8], "cpu"), World())[:FIRST]
    setup = training(balls, 8, [4, 8], precision, precision=precision)
    off = apart(losses(setup, World(device))[:FIRST], wanted)
    claim.at_most(f"{precision}: first losses off a CPU's fp32", off, 2e-2, on_cpu=2e-2)
    assert (device, off) != ("cpu", 0.0), "nothing was computed in another precision"


class Stopped(Exception):
    pass


def stops() -> Callable[[dict[str, Any]], None]:
    def report(metrics: dict[str, Any]) -> None:
        if metrics["epoch"] == 1:
            raise Stopped

    return report


@pytest.mark.parametrize("to_card", [True, False])
def test_a_run_goes_on_where_the_other_kind_of_device_left_it(
    balls: Dataset, device: str, claim: Claim, *, to_card: bool
) -> None:
    first, then = ("cpu", device) if to_card else (device, "cpu")
    whole = losses(training(balls, 8, [4, 8], "whole", ema=0.9), World())
    setup = training(balls, 8, [4, 8], "cut", ema=0.9)
    with pytest.raises(Stopped):
        fit(setup, World(first, stops()))
    found = losses(setup, World(then))
    assert len(found) == 2 * FIRST
    off = apart(found, whole)
    claim.at_most(f"from {first} to {then}: losses off a CPU's", off, 2e-2, on_cpu=0.0)


class Resident:
    """One batch again and again: what a loader that costs nothing would give."""

    def __init__(self, loader: Any) -> None:
        self._loader, self.order = loader, loader.order

    def batches(self, first: int, last: int) -> Iterator[Any]:
        batch = next(iter(self._loader.batches(first, first + 1)))
        return (replace(batch, step=step) for step in range(first, last))


def step_s(setup: TrainSetup, device: str, warm: int) -> float:
    """Seconds of a step, the first few left out."""
    return statistics.median(row["seconds"] for row in fit(setup, World(device)).rows[warm:])


def test_the_card_computes_while_patches_come_from_shards(
    make_dataset: Callable[[str, list[Sample]], Dataset],
    device: str,
    claim: Claim,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The share of time in which an accelerator computes (AU, as MLPerf Storage has it): a step's
    seconds with batches that lie on the card, by those with batches drawn from shards."""
    on_card = device == "cuda"
    side, patch = (192, 128) if on_card else (20, 8)
    features = [32, 64, 128, 256, 320] if on_card else [4, 8]
    steps, warm = (60, 20) if on_card else (8, 4)
    data = make_dataset("volumes", list(volumes(8, side)))
    how = {
        "steps_per_epoch": steps,
        "epochs": 1,
        "batch_size": 2,
        "precision": "bf16",
        "augment": {},
        "validate_every": 10**6,
    }
    drawn = step_s(training(data, patch, features, "drawn", **how), device, warm)
    assemble = loop.assemble

    def resident(setup: TrainSetup, world: World) -> Any:
        parts = assemble(setup, world)
        return replace(parts, loader=Resident(parts.loader))

    monkeypatch.setattr(loop, "assemble", resident)
    held = step_s(training(data, patch, features, "held", **how), device, warm)
    what = f"3-D U-Net from shards: share of time the card computes ({held:.3f} s a step)"
    claim.at_least(what, held / drawn, 0.9)


def volumes(count: int, side: int) -> Iterator[Sample]:
    """Noise with labels; one in eight is for validation."""
    generator = np.random.default_rng(0)
    for number in range(count):
        shape = (side, side + number, side)
        row = {
            "subject": f"p{number}",
            "split": "train" if number else "val",
            "spacing_mm": [1.0, 1.0, 1.0],
        }
        image = generator.integers(0, 1000, (1, *shape), np.int16)
        label = generator.integers(0, len(CLASSES), shape, np.uint8)
        yield Sample(f"s{number}", row, {"image": image, "label": label})


@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_what_a_card_holds_is_given_back(balls: Dataset, device: str, claim: Claim) -> None:
    """Trainings of a job, one after another, do not add up."""
    held = []
    for number in range(3):
        fit(training(balls, 8, [4, 8], f"n{number}"), World(device))
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_allocated() + 2**20)
    claim.at_most(
        "memory held after three trainings ÷ after two", held[2] / held[1], 1.05, on_cpu=1
    )
