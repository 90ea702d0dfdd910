"""Records made by hand, and read."""

from pathlib import Path
from typing import Any

import numpy as np

from medray.formats.base import Input, Source
from medray.formats.wfdb import Wfdb
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs

PLAIN = {"deidentify": {"method": "none"}}


def wfdb(**options: Any) -> Wfdb:
    """The format, without pseudonyms unless they are asked for."""
    return Wfdb(Wfdb.Options.model_validate({**PLAIN, **options}))


def inputs(root: Path, **options: Any) -> tuple[list[Input], list[Refusal]]:
    """What a plan finds."""
    found = wfdb(**options).plan(Source(root))
    return [item for group in found.groups for item in group], found.refused


def read(root: Path, **options: Any) -> dict[str, Sample]:
    """All samples of a folder by id, arrays whole; nothing may be refused."""
    items, refused = inputs(root, **options)
    assert [one for one in refused if one.kind == "quarantined"] == []
    form = wfdb(**options)
    found = [one for item in items for one in form.read(Source(root), item)]
    assert all(isinstance(one, Sample) for one in found)
    return {one.id: whole(one) for one in found if isinstance(one, Sample)}


def whole(sample: Sample) -> Sample:
    """The sample with its slabs put together."""
    for name, array in sample.arrays.items():
        if isinstance(array, Slabs):
            sample.arrays[name] = np.concatenate(list(array.parts), axis=array.axis)
    return sample


def signal(sample: Sample, number: int) -> np.ndarray:
    """Digital samples of a channel."""
    channel = sample.row["channels"][number]
    values = sample.arrays[channel["array"]][channel["index"]]
    assert isinstance(values, np.ndarray)
    return values
