"""Bulk prediction on a card: a CPU's answers, near the speed of the bare network, in memory that
does not grow with depth."""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import MASKS, commit_model

from medray.jobs.run import run
from medray.modalities.image.sliding.grid import plan_grid
from medray.modalities.loaded import load_trained
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.gpu.claims import CUDA, Claim

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
Make = Callable[[str, list[Sample]], Dataset]


def unet(features: list[int]) -> dict[str, Any]:
    return {"name": "unet", "dims": 3, "features": features}


def samples(shapes: list[tuple[int, int, int]]) -> list[Sample]:
    generator = np.random.default_rng(1)
    return [
        Sample(
            f"v{number}",
            {
                "subject": f"p{number}",
                "spacing_mm": [1.0, 1.0, 1.0],
                "image_mean": 500.0,
                "image_std": 290.0,
            },
            {"image": generator.integers(0, 1000, (1, *shape), np.int16)},
        )
        for number, shape in enumerate(shapes)
    ]


def predict(objects: Objects, output: str, data: str = "data", **options: Any) -> float:
    """Seconds that the step took, with opening the model and committing the masks."""
    step = {"kind": "predict", "model": "net", "data": data, "output": output, **options}
    return run(step, storage=objects, cluster="inline").steps[0].seconds


def test_answers_are_those_of_a_cpu(
    make_dataset: Make, device: str, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [(40, 48, 40), (33, 32, 57)]
    data = make_dataset("data", samples(shapes))
    commit_model(data.objects, "net", unet([4, 8]), MASKS, (16, 32, 32))
    predict(data.objects, "here", options={"outputs": "probabilities"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    # Another batch, so that the CPU's dry run compares two computations too.
    predict(data.objects, "on-cpu", options={"outputs": "probabilities"}, batch=2)
    here, on_cpu = (open_dataset(data.objects, name) for name in ("here", "on-cpu"))
    for index, shape in enumerate(shapes):
        one, other = (found.array(index, "probability")[...] for found in (here, on_cpu))
        assert one.shape == (2, *shape)
        off = float(np.abs(one.astype(np.float32) - other.astype(np.float32)).max())
        what = f"prediction of {shape}: probabilities off a CPU's"
        claim.at_most(what, off, 1e-3, on_cpu=1e-5)


def bare_s(objects: Objects, patch: tuple[int, ...], batch: int) -> float:
    """Seconds a window of the network alone, in bf16, on a batch that lies on the device."""
    trained = load_trained(objects, "net")
    device = trained.device
    windows = torch.randn(batch, 1, *patch, device=device)
    took = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
        for _ in range(12):
            started = time.perf_counter()
            trained.network(windows).float().sum().item()  # waits for the device
            took.append((time.perf_counter() - started) / batch)
    return statistics.median(took[2:])


def test_windows_a_second_are_near_those_of_the_bare_network(
    make_dataset: Make, device: str, claim: Claim
) -> None:
    on_card = device == "cuda"
    shape, patch = ((384, 448, 448), (128, 128, 128)) if on_card else ((20, 40, 40), (16, 32, 32))
    features = [32, 64, 128, 256, 320] if on_card else [4, 8]
    batch, count = (4, 3) if on_card else (2, 2)
    data = make_dataset("data", samples([shape] * count))
    commit_model(data.objects, "net", unet(features), MASKS, patch)
    make_dataset("warm", samples([patch]))  # type: ignore[list-item]
    predict(data.objects, "warmed", "warm", precision="bf16", batch=batch)
    took = predict(data.objects, "masks", precision="bf16", batch=batch)
    windows = len(plan_grid(shape, patch, 0.5)) * count
    bare = bare_s(data.objects, patch, batch)
    what = f"prediction ÷ bare network ({windows / took:.1f} windows/s from shards to shards)"
    claim.at_least(what, bare * windows / took, 0.9)


@pytest.mark.parametrize("device", [CUDA], indirect=True)
def test_memory_does_not_grow_with_depth(make_dataset: Make, device: str, claim: Claim) -> None:
    """Of the card; of the host, benchmarks/memory.py tells."""
    shallow = make_dataset("shallow", samples([(96, 256, 256)]))
    make_dataset("deep", samples([(480, 256, 256)]))
    commit_model(shallow.objects, "net", unet([16, 32, 64]), MASKS, (64, 96, 96))
    peaks = []
    for name in ("shallow", "deep"):
        torch.cuda.reset_peak_memory_stats()
        predict(shallow.objects, f"of-{name}", name, precision="bf16")
        peaks.append(torch.cuda.max_memory_allocated())
    what = "prediction: peak of the card's memory, five times the depth ÷ once"
    claim.at_most(what, peaks[1] / peaks[0], 1.1, on_cpu=1.1)
