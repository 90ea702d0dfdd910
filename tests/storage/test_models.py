"""Model packages: hash-pinned safetensors; anything else is refused and never unpickled."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from medray.errors import DataError, SpecError
from medray.storage.catalog.models import ModelPackage, open_model, save_model
from medray.storage.store.objects import Objects

WEIGHTS = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.ones(4, "float16")}


def package(objects: Objects, weights: bytes | None = None, **config: object) -> ModelPackage:
    return save_model(
        objects,
        "m",
        weights=save(WEIGHTS) if weights is None else weights,
        config={"model": "unet", **config},
        metrics={"dice": 0.9},
        parents=["d@1"],
        spec="s",
        card="# m",
        extra={"history.json": b"[]"},
    )


def place(objects: Objects, model: ModelPackage, name: str) -> Path:
    return Path(objects.url.removeprefix("file://")) / "models/m" / model.folder / name


def test_weights_and_files_read_back(objects: Objects) -> None:
    package(objects)
    model = open_model(objects, "m")
    for name, values in model.weights().items():
        np.testing.assert_array_equal(values, WEIGHTS[name])
    assert (model.read("card.md"), model.read("history.json")) == (b"# m", b"[]")
    assert (model.metrics, model.parents) == ({"dice": 0.9}, ["d@1"])


def test_equal_models_have_equal_versions_and_others_differ(objects: Objects) -> None:
    first = package(objects)
    assert package(objects).version == first.version
    assert package(objects, levels=3).digest != first.digest
    assert open_model(objects, f"m@{first.version}").digest == first.digest


@pytest.mark.parametrize("spot", [0, 9, 40, -1])
def test_a_changed_file_is_refused(spot: int, objects: Objects) -> None:
    model = package(objects)
    path = place(objects, model, "model.safetensors")
    data = bytearray(path.read_bytes())
    data[spot] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"model\.safetensors") as caught:
        model.weights()
    assert caught.value.code == "wrong-hash"


def test_pickles_and_bad_offsets_are_refused_and_run_nothing(
    objects: Objects, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return canary.touch, ()

    sound = save(WEIGHTS)
    header = int.from_bytes(sound[:8], "little")
    beyond = sound.replace(b'"data_offsets":[0,24]', b'"data_offsets":[0,99]')
    assert beyond != sound
    huge = (2**62).to_bytes(8, "little") + sound[8:]
    for weights in (pickle.dumps(Bomb()), beyond, huge, sound[: header + 8], b"", b"PK\x03\x04"):
        with pytest.raises(DataError) as caught:
            package(objects, weights).weights()
        assert caught.value.code == "bad-weights"
    assert not canary.exists()


def test_absent_models_are_named(objects: Objects) -> None:
    package(objects)
    with pytest.raises(SpecError, match="models here: m") as caught:
        open_model(objects, "n")
    assert caught.value.code == "no-such-model"
