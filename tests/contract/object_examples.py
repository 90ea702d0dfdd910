"""A volume with an object, for formats that draw boxes."""

import numpy as np

from medray.storage.shards.samples import Sample


def boxed(sample_id: str) -> Sample:
    found = {"class": "one", "begin": [0.0, 1.0, 1.0], "end": [3.0, 5.0, 6.0], "score": 0.9}
    image = np.random.default_rng(0).integers(0, 200, (1, 4, 12, 10)).astype("int16")
    return Sample(sample_id, {"objects": [found], "spacing_mm": [2.0, 0.9, 0.8]}, {"image": image})


def in_series(series: Sample) -> Sample:
    """A series with an object in it, without its pixels."""
    box = {"class": "nodule", "begin": [0.0, 1.0, 1.0], "end": [1.0, 2.5, 3.0]}
    objects = [{**box, "score": 0.75, "called": True}]
    return Sample(series.id, {**series.row, "objects": objects}, {})


def made_up(volume: Sample) -> Sample:
    """A volume that says that a model has drawn it."""
    return Sample(volume.id, {**volume.row, "synthetic": True}, volume.arrays)
