"""Messy trees: every file ends in exactly one place, each with its reason."""

import errno
import os
import shutil
import threading
import time

import numpy as np
import pytest
from pydantic import ValidationError
from pydicom.uid import (
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
)

from medray.errors import RetryableError, SpecError
from medray.formats.base import Source
from medray.formats.dicom import Dicom
from medray.formats.dicom.headers.headers import LIMITS
from medray.formats.dicom.tree import scan_tree


def other_series(name):
    def change(data, index):
        data.SeriesInstanceUID = f"1.2.3.{name}"
        data.SOPInstanceUID = f"1.2.3.{name}.{index + 1}"

    return change


def test_every_file_of_a_messy_tree_is_accounted_for_once(write_series, ingest, tmp_path):
    write_series(4, folder="good")
    write_series(3, folder="scout", change=other_series(7), ImageType=["O", "P", "LOCALIZER"])
    write_series(1, folder="sr", change=other_series(8), Modality="SR")
    write_series(2, folder="short", change=other_series(9))
    write_series(3, folder="us", change=other_series(10), Modality="US")
    source = tmp_path / "source"
    shutil.copy(source / "good" / "IM001", source / "IM-copy")
    (source / "readme.txt").write_text("not DICOM")
    (source / "broken.dcm").write_bytes(b"also not")
    (source / "inside").symlink_to(source / "good" / "IM000")
    (source / "outside").symlink_to(tmp_path)
    found = ingest()
    assert [len(found.samples), found.taken] == [1, 4]
    assert found.codes == {
        "rejected-localizer": 3,
        "rejected-no-image": 1,
        "rejected-few-slices": 2,
        "rejected-modality": 3,
        "rejected-duplicate": 1,
        "rejected-not-dicom": 1,
        "not-dicom": 1,
        "rejected-link": 1,
        "outside-source": 1,
    }
    errors = {refusal.code for refusal in found.refused if refusal.kind == "quarantined"}
    assert errors == {"rejected-few-slices", "not-dicom", "outside-source"}
    entries = sum(len(files) for _, _, files in os.walk(source)) + 1  # the link to a folder
    assert found.taken + sum(found.codes.values()) == entries


def test_what_lies_beside_data_everywhere_harms_no_series(write_series, ingest, tmp_path):
    write_series(3)
    folder = tmp_path / "source" / "a"
    for name in ("README", "SHA256SUMS", "Thumbs.db", ".DS_Store", "._IM000.dcm", "notes.txt"):
        (folder / name).write_bytes(b"\0\5\26\7 no image")
    found = ingest()
    assert len(found.samples) == 1
    assert [(r.kind, r.code) for r in found.refused] == [("passed-over", "rejected-not-dicom")] * 6


def test_a_refusal_shows_path_and_syntax_only_where_paths_name_nobody(
    write_series, ingest, monkeypatch
):
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    write_series(2, folder="DOE^JANE")
    keyed = {"method": "keyed"}
    shown = [ingest().refused, ingest(deidentify=keyed | {"show_paths": True}).refused]
    hidden = ingest(deidentify=keyed).refused
    for (one,) in shown:
        assert one.path.startswith("DOE^JANE/")
        assert one.syntax == "1.2.840.10008.1.2.1"
        assert one.hint == "lower `select.min_slices`"
    assert [(one.path, one.syntax) for one in hidden] == [("", "1.2.840.10008.1.2.1")]


def test_a_dicomdir_is_recognised_by_content(write_series, ingest, tmp_path):
    write_series(3)
    write_series(1, folder="index", SOPClassUID="1.2.840.10008.1.3.10")
    found = ingest()
    assert found.codes == {"rejected-dicomdir": 1}
    assert len(found.samples) == 1


@pytest.mark.parametrize(
    ("select", "code"),
    [
        ({"modality": ["MR"]}, "rejected-modality"),
        ({"min_slices": 5}, "rejected-few-slices"),
        ({"max_slices": 3}, "rejected-many-slices"),
        ({"thickness_mm": [0.5, 3.0]}, "rejected-thickness"),
        ({"kernel": "B[67]0f"}, "rejected-kernel"),
        ({"description": "(?i)abdomen"}, "rejected-description"),
        ({"exclude": "Thor"}, "rejected-description"),
        ({"thickness_mm": [3, 6], "kernel": "B30f", "description": "(?i)thorax"}, None),
    ],
)
def test_rules_reject_with_their_reason(write_series, ingest, select, code):
    write_series(4)
    found = ingest(select=select)
    assert found.codes == ({code: 4} if code else {})


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"SOPClassUID": XRayRadiationDoseSRStorage}, "rejected-dose"),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE INFO"]}, "rejected-dose"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "rejected-secondary-capture"),
        ({"SOPClassUID": EnhancedSRStorage, "Modality": "SR"}, "rejected-no-image"),
        ({"RescaleSlope": 0}, "zero-slope"),
        ({"Rows": 0}, "bad-pixel-header"),
        ({"SeriesInstanceUID": ""}, "blank-uid"),
        ({"SOPInstanceUID": ""}, "blank-uid"),
        ({"StudyInstanceUID": "anonymised"}, "blank-uid"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported-pixels"),
        ({"BitsAllocated": 24}, "unsupported-pixels"),
        ({"ImagePositionPatient": None}, "no-geometry"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_unusable_series_have_their_reason(write_series, ingest, values, code):
    def change(data, index):
        for keyword, value in values.items():
            setattr(data, keyword, value)
        data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"

    write_series(4, change=change)
    found = ingest()
    assert found.codes == {code: 4}
    assert not found.samples


def test_original_only_leaves_derived_series_out(write_series, ingest):
    write_series(4, ImageType=["DERIVED", "PRIMARY", "MPR"])
    assert len(ingest().samples) == 1
    assert ingest(select={"original_only": True}).codes == {"rejected-derived": 4}


def test_a_damaged_slice_refuses_the_whole_series_and_not_just_itself(
    write_series, ingest, tmp_path
):
    write_series(5)
    path = tmp_path / "source" / "a" / "IM004"
    path.write_bytes(path.read_bytes()[:-7])
    found = ingest()
    # Without the rule the four others would pass as a regular, shorter volume.
    assert found.codes == {"truncated-pixels": 5}
    assert "1 of 5 files" in found.refused[0].reason


def test_a_file_damaged_beyond_its_series_uid_is_held_against_its_folder(
    write_series, ingest, tmp_path
):
    write_series(4)
    write_series(4, folder="b", change=other_series(5))
    path = tmp_path / "source" / "a" / "IM003"
    path.write_bytes(path.read_bytes()[:200])
    found = ingest()
    assert found.codes == {"truncated-header": 1, "damaged-neighbour": 3}
    assert len(found.samples) == 1


def test_one_series_uid_in_two_studies_is_no_series(write_series, ingest):
    write_series(3)

    def change(data, index):
        data.StudyInstanceUID, data.SOPInstanceUID = "1.2.77", f"1.2.77.{index}"

    write_series(4, folder="b", change=change)
    assert ingest().codes == {"ambiguous-uid": 7}


@pytest.mark.parametrize(
    ("ids", "issuers", "codes"),
    [
        ("AAB", "   ", {"several-patients": 3}),
        ("AAA", "XYX", {"several-patients": 3}),
        ("A A", "X  ", {}),
        (" AA", "   ", {}),
    ],
)
def test_a_series_is_of_one_patient(write_series, ingest, ids, issuers, codes):
    def change(data, index):
        data.PatientID, data.IssuerOfPatientID = ids[index].strip(), issuers[index].strip()

    write_series(3, change=change)
    found = ingest()
    assert (found.codes, len(found.samples)) == (codes, 0 if codes else 1)


def test_a_new_file_and_a_touched_one_change_the_fingerprint(write_series, ingest, tmp_path):
    write_series(4)

    def prints():
        return [item.fingerprint for group in ingest().plan.groups for item in group]

    before = prints()
    assert prints() == before
    os.utime(tmp_path / "source" / "a" / "IM000", ns=(1, 1))
    touched = prints()
    assert touched != before
    write_series(5)
    assert prints() not in (before, touched)


def test_files_that_change_after_planning_are_noticed(write_series, ingest, tmp_path):
    write_series(4)
    found = ingest()
    (item,) = found.plan.groups[0]
    (tmp_path / "source" / "a" / "IM003").unlink()
    with pytest.raises(Exception, match="cannot be opened") as caught:
        list(found.format.read(found.source, item))
    assert caught.value.code == "unreadable"
    assert caught.value.about == item.key


def test_four_dimensional_series_are_refused_or_split(write_series, ingest):
    def change(data, index):
        data.ImagePositionPatient = [0, 0, 5.0 * (index % 3)]

    write_series(6, change=change)
    assert ingest().codes == {"several-volumes": 6}
    first, second = ingest(volumes="split").samples
    assert first.id != second.id
    assert first.arrays["image"].shape == (1, 3, 4, 6)
    # InstanceNumber tells the volumes apart: 1 to 3, then 4 to 6.
    assert first.arrays["image"][0, :, 0, 0].tolist() == [-1024, -924, -824]
    assert second.arrays["image"][0, :, 0, 0].tolist() == [-724, -624, -524]


def test_resampling_is_asked_for_and_recorded(write_series, ingest):
    def change(data, index):
        data.ImagePositionPatient = [0, 0, (0, 5, 10, 20)[index]]

    write_series(4, change=change)
    assert ingest().codes == {"missing-slices": 4}
    (sample,) = ingest(resample=True).samples
    assert sample.row["resampled"] == "missing-slices"
    assert sample.arrays["image"].shape == (1, 5, 4, 6)
    # The missing slice lies half way between its neighbours, 200 and 300.
    assert sample.arrays["image"][0, :, 0, 0].tolist() == [-1024, -924, -824, -774, -724]
    assert np.diag(np.reshape(sample.row["affine"], (4, 4))).tolist() == [-3, -2, 5, 1]


def test_a_pattern_that_does_not_compile_is_refused_with_the_options():
    with pytest.raises(ValidationError, match="not a regular expression"):
        Dicom.Options.model_validate({"select": {"kernel": "("}})


def test_a_source_without_a_single_file_is_an_error(ingest, tmp_path):
    (tmp_path / "source/below").mkdir(parents=True)
    with pytest.raises(SpecError, match="nothing-found"):
        ingest()


def test_files_that_wait_are_scanned_by_threads_in_the_order_of_the_tree(write_series, tmp_path):
    for number in range(3):
        write_series(20, f"s{number}")
    root = tmp_path / "source"
    threads = set()

    class Far(Source):
        far = True

        def fetch(self, path, size=None):
            threads.add(threading.get_ident())
            time.sleep(0.002)

    near = list(scan_tree(Source(root), LIMITS))
    far = list(scan_tree(Far(root), LIMITS))
    assert [entry.path for entry in near] == sorted(entry.path for entry in near)
    assert len(near) == 60
    assert far == near
    assert len(threads) > 2


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyInstanceUID", "1.2.99"),
        ("SeriesInstanceUID", "1.2.99"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.66.4"),
        ("Modality", "MR"),
        ("ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]),
        ("SeriesDescription", "Dose"),
        ("ConvolutionKernel", "B70f"),
        ("BurnedInAnnotation", "YES"),
        ("SliceThickness", 9),
        ("ImageOrientationPatient", [0, 1, 0, 1, 0, 0]),
    ],
)
def test_slices_share_facts_only_where_all_of_them_are_equal(
    write_series, tmp_path, keyword, value
):
    write_series(3, change=lambda data, index: index == 1 and setattr(data, keyword, value))
    first, other, last = (found.facts for found in scan_tree(Source(tmp_path / "source"), LIMITS))
    assert first is last
    assert other != first


def test_a_folder_is_not_lost_for_want_of_descriptors(write_series, tmp_path, monkeypatch):
    write_series(2)

    def none_left(folder, flags):
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(RetryableError, match="too-many-open-files"):
        list(scan_tree(Source(tmp_path / "source"), LIMITS))


def test_a_file_that_the_disk_cannot_read_is_turned_away(write_series, tmp_path, monkeypatch):
    write_series(3)
    real, calls = os.pread, []

    def broken(handle, size, at):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.EIO, "bad sector")
        return real(handle, size, at)

    monkeypatch.setattr(os, "pread", broken)
    found = list(scan_tree(Source(tmp_path / "source"), LIMITS))
    assert [entry.fault.code if entry.fault else "" for entry in found] == ["", "unreadable", ""]


def test_file_names_do_not_decide_over_slices_at_one_place(write_series, ingest, tmp_path):
    def change(data, index):
        data.ImagePositionPatient = [0, 0, 5.0 * (index % 3)]

    write_series(6, change=change)
    first = [sample.arrays["image"] for sample in ingest(volumes="split").samples]
    folder = tmp_path / "source" / "a"
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        path.rename(folder / f"other{number}")
    again = [sample.arrays["image"] for sample in ingest(volumes="split").samples]
    np.testing.assert_array_equal(first, again)
