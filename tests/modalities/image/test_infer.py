"""Streaming inference equals MONAI's on the whole image, and fails cleanly."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from medray.errors import DataError, FatalError
from medray.modalities.image.sliding.infer import predict_volume
from medray.storage.shards.samples import Slabs


def _slabs(image: np.ndarray, depth: int = 5) -> Slabs:
    parts = (image[:, start : start + depth] for start in range(0, image.shape[1], depth))
    return Slabs(image.shape, image.dtype, 1, parts)


def _image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def _network(dims: int, channels: int, classes: int = 3) -> nn.Module:
    torch.manual_seed(5)
    conv = nn.Conv3d if dims == 3 else nn.Conv2d
    return nn.Sequential(
        conv(channels, 4, 3, padding=1), nn.ReLU(), conv(4, classes, 3, padding=1)
    ).eval()


def _monai(
    net: Callable[[Tensor], Tensor],
    image: np.ndarray,
    roi: tuple[int, ...],
    overlap: float | tuple[float, ...],
) -> Tensor:
    with torch.inference_mode():
        logits = sliding_window_inference(
            torch.from_numpy(image)[None], roi, 2, net, overlap=overlap, mode="gaussian"
        )
    assert isinstance(logits, Tensor)
    return logits[0]


CASES = [
    ((1, 33, 40, 29), (16, 16, 16), 0.5),
    ((2, 24, 31, 17), (8, 16, 16), 0.25),
    ((1, 10, 40, 9), (16, 16, 16), 0.5),  # smaller than the window along two axes
    ((1, 5, 6, 7), (8, 8, 8), 0.5),  # along all
    ((1, 60, 12, 12), (7, 12, 12), 0.8),
    ((1, 20, 21, 22), (8, 8, 8), (0.0, 0.3, 0.75)),
    ((3, 70, 33), (16, 20), 0.6),
    ((1, 9, 41), (16, 16), 0.5),
]


@pytest.mark.parametrize(("shape", "roi", "overlap"), CASES)
@pytest.mark.parametrize("batch", [1, 3])
def test_equal_to_monai(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float, batch: int
) -> None:
    net, image = _network(len(roi), shape[0]), _image(shape)
    expected = _monai(net, image, roi, overlap)

    def run(outputs: str) -> list[np.ndarray]:
        return list(
            predict_volume(
                net, _slabs(image), roi=roi, overlap=overlap, batch=batch, outputs=outputs
            )
        )

    labels = np.concatenate(run("labels"))
    probabilities = np.concatenate(run("probabilities"), axis=1)
    np.testing.assert_array_equal(labels, expected.argmax(0).numpy())
    np.testing.assert_allclose(probabilities, expected.softmax(0).numpy(), atol=1e-5, rtol=0)
    assert labels.dtype == np.uint8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 24), st.integers(3, 12)), min_size=2, max_size=3),
    st.floats(0, 0.9),
    st.integers(1, 9),
    st.integers(1, 5),
)
def test_equal_to_monai_for_any_shape(
    axes: list[tuple[int, int]], overlap: float, chunk_depth: int, batch: int
) -> None:
    shape, roi = (tuple(values) for values in zip(*axes, strict=True))
    net, image = _network(len(roi), 1), _image((1, *shape))
    slabs = predict_volume(
        net,
        _slabs(image, chunk_depth),
        roi=roi,
        overlap=overlap,
        batch=batch,
        outputs="probabilities",
    )
    expected = _monai(net, image, roi, overlap).softmax(0).numpy()
    np.testing.assert_allclose(np.concatenate(list(slabs), axis=1), expected, atol=1e-5, rtol=0)


def test_logits_equal_monais_where_softmax_would_hide_a_difference() -> None:
    """Sigmoids of small logits keep their differences; a constant offset of all would show."""
    net, image = _network(3, 1, classes=2), _image((1, 30, 20, 21))
    slabs = predict_volume(
        net, _slabs(image), roi=(8, 16, 16), outputs="probabilities", threshold=0.5
    )
    expected = _monai(net, image, (8, 16, 16), 0.5).sigmoid().numpy()
    np.testing.assert_allclose(np.concatenate(list(slabs), axis=1), expected, atol=1e-5, rtol=0)


def test_threshold_makes_independent_labels() -> None:
    net, image = _network(2, 1), _image((1, 30, 20))
    labels = np.concatenate(
        list(predict_volume(net, _slabs(image), roi=(16, 16), threshold=0.4)), axis=1
    )
    expected = _monai(net, image, (16, 16), 0.5).sigmoid() > 0.4
    assert labels.shape == (3, 30, 20)
    np.testing.assert_array_equal(labels, expected.numpy())


def test_mirrored_copies_are_averaged() -> None:
    net, image = _network(3, 1), _image((1, 20, 17, 19))

    def averaged(windows: Tensor) -> Tensor:
        flips: list[list[int]] = [[], [2], [4], [2, 4]]
        return torch.stack([net(windows.flip(dims)).flip(dims) for dims in flips]).mean(0)

    slabs = predict_volume(
        net, _slabs(image), roi=(8, 8, 8), mirror_axes=(0, 2), outputs="probabilities"
    )
    expected = _monai(averaged, image, (8, 8, 8), 0.5).softmax(0).numpy()
    np.testing.assert_allclose(np.concatenate(list(slabs), axis=1), expected, atol=1e-5, rtol=0)


def test_resampled_there_and_back() -> None:
    net, image = _network(3, 1), _image((1, 22, 30, 26))
    inner, native = (31, 19, 20), (22, 30, 26)
    slabs = predict_volume(
        net,
        _slabs(image),
        roi=(8, 8, 8),
        network_shape=inner,
        outputs="probabilities",
    )
    there = F.interpolate(torch.from_numpy(image)[None], size=inner, mode="trilinear")[0].numpy()
    logits = _monai(net, there, (8, 8, 8), 0.5)
    back = F.interpolate(logits[None], size=native, mode="trilinear")[0].softmax(0).numpy()
    np.testing.assert_allclose(np.concatenate(list(slabs), axis=1), back, atol=1e-5, rtol=0)


def test_bf16_runs_the_network_in_bf16_and_blends_in_fp32() -> None:
    seen = set()
    net, image = _network(3, 1), _image((1, 20, 17, 19))

    def spy(windows: Tensor) -> Tensor:
        logits = net(windows)
        seen.add((windows.dtype, logits.dtype))
        return logits

    slabs = predict_volume(
        spy, _slabs(image), roi=(8, 8, 8), precision="bf16", outputs="probabilities"
    )
    found = np.concatenate(list(slabs), axis=1)
    assert seen == {(torch.bfloat16, torch.bfloat16)}
    expected = _monai(net, image, (8, 8, 8), 0.5).softmax(0).numpy()
    error = np.abs(found - expected).max()
    assert 1e-6 < error < 0.02  # bf16 has 8 bits: neither exact nor far off


@pytest.mark.parametrize("outputs", ["labels", "probabilities"])
def test_nonfinite_output_is_an_error(outputs: str) -> None:
    def poisoned(windows: Tensor) -> Tensor:
        logits = windows.repeat(1, 2, 1, 1, 1)
        logits[0, 1, 3, 3, 3] = float("nan")
        return logits

    source = _slabs(_image((1, 20, 8, 8)))
    with pytest.raises(DataError) as caught:
        list(predict_volume(poisoned, source, roi=(8, 8, 8), outputs=outputs))
    assert caught.value.code == "nonfinite-output"


def test_more_classes_than_labels_can_name_are_refused() -> None:
    source = _slabs(_image((1, 8, 8)))
    with pytest.raises(FatalError) as caught:
        list(predict_volume(lambda x: x.expand(-1, 257, -1, -1), source, roi=(8, 8)))
    assert caught.value.code == "network-output"


def _readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "medray-read-ahead"]


def test_no_thread_is_left_when_the_consumer_stops_early() -> None:
    slabs = predict_volume(_network(3, 1), _slabs(_image((1, 60, 8, 8))), roi=(8, 8, 8))
    next(slabs)
    assert _readers()
    slabs.close()
    assert not _readers()


def test_no_thread_is_left_when_the_network_or_the_source_raises() -> None:
    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    def unreadable(image: np.ndarray) -> Iterator[np.ndarray]:
        yield image[:, :5]
        raise DataError("chunk does not decode", code="undecodable")

    image = _image((1, 60, 8, 8))
    with pytest.raises(RuntimeError, match="out of memory"):
        list(predict_volume(broken, _slabs(image), roi=(8, 8, 8)))
    assert not _readers()
    source = Slabs(image.shape, image.dtype, 1, unreadable(image))
    with pytest.raises(DataError, match="undecodable"):
        list(predict_volume(_network(3, 1), source, roi=(8, 8, 8)))
    assert not _readers()


def test_inference_and_autocast_modes_do_not_leak_between_slabs() -> None:
    slabs = predict_volume(
        _network(3, 1), _slabs(_image((1, 60, 8, 8))), roi=(8, 8, 8), precision="bf16"
    )
    next(slabs)
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")
    slabs.close()


PEAK = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np, torch
    from medray.modalities.image.sliding.infer import predict_volume

    from medray.storage.shards.samples import Slabs

    shape = (1, int(sys.argv[1]), 192, 192)
    parts = (np.ones((1, 16, 192, 192), np.int16) for _ in range(0, shape[1], 16))
    image = Slabs(shape, np.dtype(np.int16), 1, parts)

    def kib(field):
        status = Path("/proc/self/status").read_text()
        return int(status.split(field + ":")[1].split()[0])

    torch.set_num_threads(1)
    base = kib("VmRSS")
    net = lambda x: torch.cat([x, -x, x, x, x, x], dim=1)
    depth = 0
    for slab in predict_volume(net, image, roi=(32, 64, 64), network_shape=eval(sys.argv[2])):
        depth += slab.shape[0]
    assert depth == shape[1]
    print(kib("VmHWM") - base)
    """
)


@pytest.mark.needs("linux")
@pytest.mark.parametrize("grid", ["native", "resampled"])
def test_peak_memory_does_not_grow_with_depth(grid: str) -> None:
    # Not ru_maxrss: that of a child begins at its parent's peak.
    def peak_kib(depth: int) -> int:
        inner = None if grid == "native" else (depth * 2, 96, 96)
        command = [sys.executable, "-c", PEAK, str(depth), repr(inner)]
        # Arrays mapped one by one: the peak is then what is alive, not what malloc keeps.
        env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
        return int(done.stdout)

    shallow, deep = peak_kib(96), peak_kib(384)
    # The ring alone is 27 MiB (7 on the coarser planes); 384 planes of 6 classes would be 340.
    assert shallow > 7 * 1024
    assert deep < 1.05 * shallow
