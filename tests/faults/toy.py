"""The drills' own operation: deterministic samples, and inputs that do their worker harm.

It reaches worker processes by its module's name, which they find on their PYTHONPATH. What an
input does stands in its key, before the first "-": "ok", "bad" (DataError), "segfault", "exit",
"hang", "big" (needs 2 GiB at once), "sum" (harmless alone, but a whole unit of them isn't),
"flaky" (storage fails once).
"""

import ctypes
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.engine.units.operation import Operation, Unit
from medray.errors import DataError, RetryableError
from medray.ids import unit_id
from medray.storage.shards.forms.ome import LABEL
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

SPOTS = ArraySpec((Axis("spot"), Axis("place")), ragged=True)


class Toy(Operation):
    """Parameters: `sleep_s` per sample, `shape` of an image, `batch`, `device`, `ragged`…"""

    name: ClassVar[str] = "toy"
    arrays: ClassVar[Arrays] = {"image": LABEL, "spots": SPOTS}

    def __init__(self, objects: Any, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        self.device = bool(parameters.get("device"))  # type: ignore[misc]

    @property
    def batch(self) -> int:
        return int(self.parameters.get("batch", 1))

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        match key.partition("-")[0]:
            case "bad":
                raise DataError("made to be refused", code="bad-toy", about=key)
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(1)
            case "hang":
                time.sleep(3600)
            case "big":
                np.ones(2**28)
            case "flaky":
                once = Path(self.parameters["scratch"]) / key
                if not once.exists():
                    once.touch()
                    raise RetryableError("made to fail once", code="flaky-toy", about=key)
        yield Sample(key, {"subject": key}, {"image": self._image(key)})

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        time.sleep(self.parameters.get("sleep_s", 0) * len(samples))
        for sample in samples:
            image = np.asarray(sample.arrays["image"])
            arrays = {"image": image + 1}
            if self.parameters.get("ragged"):
                arrays["spots"] = image.reshape(-1, 2)[: image[0, 0] % 20]
            yield Sample(sample.id, {**sample.row, "sum": int(image.sum())}, dict(arrays))

    def _image(self, key: str) -> np.ndarray:
        shape = self.parameters.get("shape", [8, 8])
        if key.startswith("sum"):
            shape = [16, 1024, 1024]  # 128 MiB as int64
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        return np.random.default_rng(seed).integers(0, 1000, shape)


def units(groups: Sequence[Sequence[str]], parameters: dict[str, Any]) -> list[Unit]:
    """A unit for each group of keys."""
    return [
        Unit(unit_id("toy", parameters, keys), index, tuple(keys), {})
        for index, keys in enumerate(groups)
    ]
