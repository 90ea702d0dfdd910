"""Predictions with maps: beside the answer, on the image's own grid, of any depth."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import zarr
from PIL import Image as Pillow

from medray.errors import SpecError
from medray.formats import FORMATS
from medray.modalities.base import Asking
from medray.modalities.image import ImageOptions, Images
from medray.modalities.image.explain.grids import on_own_grid
from medray.modalities.image.explain.methods import attribute
from medray.modalities.image.explain.target import OfClass, OverRegion
from medray.modalities.image.loader import whole_image
from medray.modalities.loaded import load_trained
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.steps.test_predict import CNN, IMAGES, MASKS, UNET, dataset, model, run

METHODS = ("grad-cam", "integrated-gradients", "occlusion")


def pictures(shape: tuple[int, int], count: int = 2) -> list[Sample]:
    generator = np.random.default_rng(4)
    made = []
    for at in range(count):
        image = generator.normal(50, 9, (1, *shape)).astype(np.float32)
        label = np.zeros(shape, np.uint8)
        label[at : at + 3, 2:5] = 1
        row = {"spacing_mm": [1.0, 1.0], "target": at % 2}
        made.append(Sample(f"p{at}", row, {"image": image, "label": label}))
    return made


def volumes() -> list[Sample]:
    """One that a window covers, and one of several."""
    generator = np.random.default_rng(2)
    shapes = [(8, 16, 16), (13, 22, 17)]
    images = [generator.normal(30, 9, (1, *shape)).astype(np.float32) for shape in shapes]
    row = {"spacing_mm": [2.0, 1.0, 1.0]}
    return [Sample(f"v{at}", dict(row), {"image": one}) for at, one in enumerate(images)]


@pytest.mark.parametrize("how", METHODS)
def test_maps_stand_beside_the_answer(objects: Objects, how: str) -> None:
    net = model(objects, CNN, IMAGES, (16, 16), scale=2.0)
    samples = pictures((16, 16))
    data = dataset(objects, samples)
    made, _ = run(objects, data, outputs=how)
    plain, _ = run(objects, data)
    rows = made.samples.to_pylist()
    assert [row["probability"] for row in rows] == plain.samples.column("probability").to_pylist()
    for at, row in enumerate(rows):
        image = samples[at].arrays["image"]
        assert isinstance(image, np.ndarray)
        inputs = torch.from_numpy((image - image.mean()) / image.std())[None]
        target = OfClass(torch.tensor([1]), exclusive=True)  # of two classes the second
        wanted = attribute(how, net, net.feature_maps, inputs, target).numpy()  # type: ignore[arg-type]
        found = made.shards[0].array(at, "attribution")[...]
        assert found.shape == (1, 16, 16)
        np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())
        assert row["explained"] == ["pneumonia"]
        assert tuple(row["peak"]) == np.unravel_index(found[0].argmax(), (16, 16))
        assert row["pointing"] == bool(samples[at].arrays["label"][tuple(row["peak"])])
        assert "insertion" not in row


def test_checks_stand_in_columns(objects: Objects) -> None:
    model(objects, CNN, IMAGES, (16, 16), scale=2.0)
    made, _ = run(objects, dataset(objects, pictures((16, 16))), outputs="grad-cam", checks=True)
    row = made.samples.to_pylist()[0]
    assert {"insertion", "deletion_random", "insertion_centre"} <= row.keys()
    assert all(0 <= row[name] <= 1 for name in ("insertion", "deletion"))
    assert len(row["randomised_rank"]) == len(row["randomised_ssim"]) == 4


@pytest.mark.parametrize(
    ("shape", "patch"), [((40, 40), (16, 16)), ((20, 31), (16, 24)), ((9, 20, 22), (8, 16, 16))]
)
def test_maps_go_back_to_the_grid_of_the_image(
    shape: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    """A ramp is as steep on both: what the network saw of it comes back."""
    ramps = np.indices(shape).astype(np.float32)
    for axis, ramp in enumerate(ramps):
        seen = whole_image(torch.from_numpy(ramp[None]), patch)[0].numpy()
        back = np.concatenate(list(on_own_grid(seen, shape)), axis=1)[0]
        inner = tuple(slice(length // 4, -(length // 4)) for length in shape)
        assert np.abs(back - ramp)[inner].max() < 0.05, axis


def test_large_maps_come_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = np.random.default_rng(0).normal(size=(8, 16, 16)).astype(np.float32)
    whole = np.concatenate(list(on_own_grid(seen, (24, 40, 40))), axis=1)
    monkeypatch.setattr("medray.modalities.image.explain.grids.SLAB_BYTES", 4 * 40 * 40 * 5)
    slabs = list(on_own_grid(seen, (24, 40, 40)))
    assert [slab.shape[1] for slab in slabs] == [5, 5, 5, 5, 4]
    np.testing.assert_allclose(np.concatenate(slabs, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("how", METHODS)
def test_of_masks_each_class_has_a_map(objects: Objects, how: str) -> None:
    net = model(objects, UNET, MASKS, (8, 16, 16), scale=2.0)
    samples = volumes()[: 2 if how == "grad-cam" else 1]  # the others take hundreds of passes
    data = dataset(objects, samples)
    made, _ = run(objects, data, outputs=how)
    plain, _ = run(objects, data)
    assert any(sum(row["label_voxels"][1:]) for row in made.samples.to_pylist())
    for at, row in enumerate(made.samples.to_pylist()):
        image = np.asarray(samples[at].arrays["image"])
        found = made.shards[0].array(at, "attribution")[...]
        assert found.shape == image.shape
        assert row["explained"] == ["lesion"]
        masks = [one.shards[0].array(at, "label")[...] for one in (made, plain)]
        assert np.array_equal(*masks)
        assert np.ptp(found) > 0
        if image.shape[1:] == (8, 16, 16):
            inputs = torch.from_numpy((image - image.mean()) / image.std()).float()[None]
            with torch.no_grad():
                region = net(inputs).argmax(1) == 1
            target = OverRegion(1, region, exclusive=True)
            wanted = attribute(how, net, net.feature_maps, inputs, target).numpy()  # type: ignore[arg-type]
            np.testing.assert_allclose(found, wanted, atol=1e-2 * np.abs(wanted).max())


def test_of_masks_the_largest_region_is_checked(objects: Objects) -> None:
    model(objects, UNET, MASKS, (8, 16, 16), scale=2.0)
    made, _ = run(objects, dataset(objects, volumes()[1:]), outputs="grad-cam", checks=True)
    (row,) = made.samples.to_pylist()
    assert len(row["randomised_rank"]) == 4
    assert 0 <= row["deletion"] <= 1


def test_a_deep_volume_is_explained_slab_by_slab(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(objects, UNET, MASKS, (8, 16, 16), scale=2.0)
    image = np.random.default_rng(0).normal(50, 9, (1, 40, 16, 16)).astype(np.float32)
    data = dataset(objects, [Sample("v", {"spacing_mm": [1.0, 1.0, 1.0]}, {"image": image})])
    whole, _ = run(objects, data, outputs="grad-cam", overlap=0.25)
    monkeypatch.setattr("medray.modalities.image.explain.predictor.SLAB_BYTES", 0)
    slabs, _ = run(objects, data, outputs="grad-cam", overlap=0.25, tta=False)
    one, other = (made.shards[0].array(0, "attribution")[...] for made in (whole, slabs))
    assert one.shape == (1, 40, 16, 16)
    assert np.array_equal(one, other)
    assert np.ptp(one) > 0
    assert whole.samples.column("peak") == slabs.samples.column("peak")


def test_maps_are_written_as_files(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (1, 4, 20, 30)).astype(np.int16)
    values = np.zeros((1, 4, 20, 30), np.float32)
    values[0, 2, 5:10, 15:20] = 1
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    row = {"spacing_mm": [5.0, 2.0, 2.0], "affine": affine.reshape(-1).tolist()}

    def written(name: str, *arrays: str) -> Path:
        kind = FORMATS.get(name)
        form = kind(kind.Options.model_validate({"array": "attribution"}))
        held = {"image": image, "attribution": values}
        assert form.takes(frozenset(held)) == set(arrays)
        taken = {key: held[key] for key in arrays}
        (path,) = form.write([Sample("a", dict(row), taken)], tmp_path)
        return path

    back = nib.load(written("nifti", "attribution"))
    assert np.array_equal(np.asarray(back.dataobj).T, values[0])
    assert np.array_equal(back.affine, affine)
    level = zarr.open(written("ome_zarr", "attribution") / "0")
    assert np.array_equal(level[...], values)
    picture = np.asarray(Pillow.open(written("overlay", "image", "attribution"))).astype(int)
    hot = picture[..., 0] - picture[..., 2] > 20  # red to yellow; the image is grey
    # Turned as radiologists read: from this affine on the patient's right is at the left.
    rows, columns = np.nonzero(hot)
    height, width = picture.shape[:2]
    assert np.mean(hot) == pytest.approx(25 / 600, abs=0.02)
    assert (rows.mean() / height, columns.mean() / width) == pytest.approx(
        (1 - 7.5 / 20, 1 - 17.5 / 30), abs=0.02
    )


@pytest.mark.parametrize("options", [{"outputs": "gradients"}, {"checks": True}])
def test_what_cannot_be_asked_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"outputs|of maps"):
        ImageOptions.model_validate(options)


def test_a_network_without_maps_of_features_has_no_grad_cam(objects: Objects) -> None:
    model(objects, CNN, IMAGES, (16, 16))
    trained = load_trained(objects, "m", torch.device("cpu"))
    trained.network.feature_maps = ()  # type: ignore[assignment]
    with pytest.raises(SpecError) as caught:
        Images().predictor(trained, Asking(ImageOptions(outputs="grad-cam")))
    assert caught.value.code == "no-attributions"
    Images().predictor(trained, Asking(ImageOptions(outputs="occlusion")))
