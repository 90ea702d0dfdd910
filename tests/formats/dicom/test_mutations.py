"""Mutated headers: no crash, no hang over 5 s, under 512 MB, each refusal has its code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)


@pytest.fixture
def seeds(tmp_path, ct_slice):
    """Sound files of every kind: native, compressed, deflated, enhanced, with nested sequences."""
    folder = tmp_path / "seeds"
    folder.mkdir()
    for index, syntax in enumerate(
        (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    ):
        ct_slice(0, syntax=syntax).save_as(folder / f"native{index}", enforce_file_format=True)
    for index, syntax in enumerate((RLELossless, JPEGLSLossless)):
        data = ct_slice(0)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(folder / f"compressed{index}", enforce_file_format=True)
    data = ct_slice(0)
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2"
    outer = Dataset()
    outer.ReferencedImageSequence = Sequence([inner])
    outer.is_undefined_length_sequence_item = True
    data.RequestAttributesSequence = Sequence([outer])
    data["RequestAttributesSequence"].is_undefined_length = True
    data.save_as(folder / "nested", enforce_file_format=True)
    data.SOPClassUID, data.Modality, data.NumberOfFrames = EnhancedMRImageStorage, "MR", 3
    data.PerFrameFunctionalGroupsSequence = Sequence([_frame(index) for index in range(3)])
    data.PixelData *= 3
    data.save_as(folder / "enhanced", enforce_file_format=True)
    return folder


def _frame(index):
    item, position = Dataset(), Dataset()
    position.ImagePositionPatient = [0, 0, 5.0 * index]
    item.PlanePositionSequence = Sequence([position])
    return item


def mutate(seeds, count, seed):
    script = Path(__file__).with_name("mutate.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(seeds), str(count), str(seed)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # A decoder that writes to standard error would be quoting the file into somebody's log.
    assert done.stderr == ""
    return json.loads(done.stdout)


def check(found, count):
    assert sum(found["outcomes"].values()) == count
    assert found["slowest_s"] < 5
    assert found["peak_mib"] < 512
    # Sound files survive harmless mutations, and damage has many names.
    assert found["outcomes"]["taken"] > count / 10
    assert len(found["outcomes"]) > 10


def test_300_mutated_headers(seeds):
    check(mutate(seeds, 300, seed=1), 300)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_5000_mutated_headers(seeds):
    check(mutate(seeds, 5000, seed=2), 5000)
