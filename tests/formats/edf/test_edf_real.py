"""Real files of EDF and BDF, held against what their makers published."""

from pathlib import Path

import numpy as np
import pytest

from medray.formats.base import Source
from medray.formats.edf import Edf
from medray.storage.shards.samples import Sample
from tests.parts import library

FOLDER = "biosignal/edf"


@pytest.mark.real_data
def test_digital_values_and_annotations_are_those_of_edfio(data_dir: Path) -> None:
    edfio = library("edfio")
    form, source = (
        Edf(Edf.Options.model_validate({"deidentify": {"method": "none"}})),
        Source(data_dir / FOLDER),
    )
    seen = 0
    for group in form.plan(source).groups:
        for item in group:
            (sample,) = form.read(source, item)
            assert isinstance(sample, Sample)
            path = source.root / item.paths[0]
            read = edfio.read_bdf if path.suffix == ".bdf" else edfio.read_edf
            other = read(path)
            for channel, signal in zip(sample.row["channels"], other.signals, strict=True):
                held = sample.arrays[channel["array"]][channel["index"]]
                np.testing.assert_array_equal(held, signal.digital)
                assert channel["rate"] == signal.sampling_frequency
                assert channel["name"] == signal.label
            mine = [(n["onset_s"], n["duration_s"], n["text"]) for n in sample.row["annotations"]]
            theirs = [(n.onset, n.duration, n.text) for n in other.annotations]
            assert [n[1:] for n in mine] == [n[1:] for n in theirs]
            assert [n[0] for n in mine] == pytest.approx([n[0] for n in theirs], abs=1e-6)
            seen += 1
    assert seen == 7  # short_psg comes as .edf and as .bdf, of which one is refused
