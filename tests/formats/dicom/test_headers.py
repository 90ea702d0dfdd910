"""Reading a header: as pydicom reads it, and never beyond the limits."""

import os
import resource
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medray.errors import DataError, RetryableError
from medray.formats.base import Source
from medray.formats.dicom.confined import Confined
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements, _known_floats
from medray.formats.dicom.headers.headers import LIMITS, Limits, load, scan
from medray.formats.dicom.pixels.pixels import Layout, decode


def read(path: Path, limits: Limits = LIMITS):
    handle, status = Confined(Source(path.parent.resolve())).open(path.name)
    try:
        return scan(handle, status.st_size, limits), load(handle, status.st_size, limits)
    finally:
        os.close(handle)


def code_of(path: Path, limits: Limits = LIMITS) -> str:
    try:
        header, _ = read(path, limits)
        Layout(header, limits)
    except DataError as fault:
        return fault.code
    pytest.fail("the file was accepted")


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_native_syntax_gives_the_same_values_and_pixels(
    tmp_path, syntax, ct_slice, stored_plane
):
    data = ct_slice(3, syntax=syntax)
    if syntax == ExplicitVRBigEndian:
        data.PixelData = stored_plane(3).byteswap().tobytes()
    data.save_as(tmp_path / "x", enforce_file_format=True)
    header, (whole, buffer, crc) = read(tmp_path / "x")
    for found in (header.elements, whole.elements):
        assert found.unsigned(tags.ROWS, 0) == 4
        assert found.floats(tags.IMAGE_POSITION, 3) == (-10, -20, 45)
        assert found.texts(tags.IMAGE_TYPE) == ("ORIGINAL", "PRIMARY", "AXIAL")
        assert found.number(tags.RESCALE_INTERCEPT, 0) == -1024
    np.testing.assert_array_equal(decode(whole, buffer)[0][0, 0], stored_plane(3))
    assert crc != 0


def test_sequences_of_either_length_are_stepped_over_or_into(tmp_path, ct_slice):
    for undefined in (False, True):
        data = ct_slice(0)
        inner, item = Dataset(), Dataset()
        inner.PatientName = "Hidden^Name"
        item.ReferencedImageSequence = Sequence([inner])
        item.is_undefined_length_sequence_item = undefined
        data.RequestAttributesSequence = Sequence([item, Dataset()])
        place = Dataset()
        place.ImagePositionPatient = [1, 2, 3]
        data.PlanePositionSequence = Sequence([place])
        for name in ("RequestAttributesSequence", "PlanePositionSequence"):
            data[name].is_undefined_length = undefined
        data.save_as(tmp_path / "x", enforce_file_format=True)
        header, _ = read(tmp_path / "x")
        item = header.elements.first(tags.PLANE_POSITION_SEQUENCE)
        assert item is not None
        assert item.floats(tags.IMAGE_POSITION, 3) == (1, 2, 3)
        assert header.elements.unsigned(tags.COLUMNS, 0) == 6


def test_nothing_but_the_allow_list_is_kept(tmp_path, ct_slice):
    data = ct_slice(0)
    data.private_block(0x0029, "VENDOR", create=True).add_new(1, "LO", "secret")
    data.save_as(tmp_path / "x", enforce_file_format=True)
    header, _ = read(tmp_path / "x")
    assert set(header.elements.raw) <= tags.WANTED
    assert 0x00100010 not in header.elements.raw


def test_a_header_longer_than_the_first_read_is_read_on(tmp_path, ct_slice):
    data = ct_slice(0)
    data.private_block(0x0029, "VENDOR", create=True).add_new(1, "OB", b"\0" * 600_000)
    data.save_as(tmp_path / "x", enforce_file_format=True)
    header, _ = read(tmp_path / "x")
    assert header.pixels is not None
    assert header.pixels[1] > 600_000
    assert code_of(tmp_path / "x", Limits(header_bytes=200_000)) == "header-too-large"


def test_explicit_announced_and_implicit_written_is_read(tmp_path, ct_slice):
    data = ct_slice(0, syntax=ImplicitVRLittleEndian)
    data.save_as(tmp_path / "x", enforce_file_format=True)
    content = (tmp_path / "x").read_bytes()
    # Both UIDs fill 18 or 20 bytes; padding keeps the length of the implicit one.
    lied = content.replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1\0", 1)
    lied = lied.replace(b"\x02\0\x10\0UI\x12\0", b"\x02\0\x10\0UI\x14\0", 1)
    (tmp_path / "x").write_bytes(lied)
    header, _ = read(tmp_path / "x")
    assert header.syntax == ExplicitVRLittleEndian
    assert header.elements.unsigned(tags.ROWS, 0) == 4


def test_a_deflate_bomb_is_refused_before_it_inflates(tmp_path, ct_slice):
    data = ct_slice(0, syntax=DeflatedExplicitVRLittleEndian)
    data.Rows = data.Columns = 8192
    data.PixelData = b"\0" * (8192 * 8192 * 2)
    data.save_as(tmp_path / "x", enforce_file_format=True)
    assert (tmp_path / "x").stat().st_size < 200_000
    with pytest.raises(DataError, match="inflates beyond 1000000 bytes") as caught:
        read(tmp_path / "x", Limits(inflated_bytes=10**6))
    assert caught.value.code == "deflate-bomb"


def test_damaged_deflate_is_refused(tmp_path, ct_slice):
    ct_slice(0, syntax=DeflatedExplicitVRLittleEndian).save_as(
        tmp_path / "x", enforce_file_format=True
    )
    content = bytearray((tmp_path / "x").read_bytes())
    (tmp_path / "cut").write_bytes(content[:-60])
    assert code_of(tmp_path / "cut").startswith("truncated")
    at = content.index(b"1.2.840.10008.1.2.1.99") + 100
    content[at:] = zlib.compress(b"x" * 500)
    (tmp_path / "bad").write_bytes(content)
    assert code_of(tmp_path / "bad") in ("bad-deflate", "malformed-element", "truncated-header")


def test_a_header_of_65535_squared_is_refused_before_allocating(tmp_path, ct_slice):
    data = ct_slice(0)
    data.Rows = data.Columns = 65535
    data.save_as(tmp_path / "x", enforce_file_format=True)
    assert code_of(tmp_path / "x") == "too-large"


def test_more_frames_than_bytes_are_refused(tmp_path, ct_slice):
    data = ct_slice(0)
    data.NumberOfFrames = 2**31 - 1
    data.save_as(tmp_path / "x", enforce_file_format=True)
    assert code_of(tmp_path / "x") == "too-large"
    data.NumberOfFrames = 100
    data.save_as(tmp_path / "x", enforce_file_format=True)
    assert code_of(tmp_path / "x") == "truncated-pixels"


def test_nesting_beyond_the_limit_is_refused_and_is_no_stack_overflow(tmp_path, ct_slice):
    data = ct_slice(0)
    data.save_as(tmp_path / "x", enforce_file_format=True)
    content = (tmp_path / "x").read_bytes()
    # A sequence of undefined length within an item of undefined length, 5,000 times.
    opening = struct.pack("<HH2sHL", 0x0008, 0x1110, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = content.index(struct.pack("<HH", 0x0008, 0x0008))
    (tmp_path / "deep").write_bytes(content[:at] + opening * 5000 + content[at:])
    assert code_of(tmp_path / "deep") == "too-deep"


def test_what_is_no_dicom_file_is_named(tmp_path, ct_slice):
    ct_slice(0).save_as(tmp_path / "x", enforce_file_format=True)
    content = (tmp_path / "x").read_bytes()
    cases = {
        "empty": (b"", "not-dicom"),
        "text": (b"hello" * 100, "not-dicom"),
        "no-preamble": (content[content.index(b"\x08\0\x08\0CS") :], "no-preamble"),
        "meta-only": (content[:340], "truncated-header"),
        "preamble-only": (content[:132], "no-transfer-syntax"),
        "cut": (content[:-10], "truncated-pixels"),
        "garbage": (content[:132] + b"\x02\0\x10\0UI\x06\0abcdef" + b"z" * 99, None),
    }
    for name, (written, expected) in cases.items():
        (tmp_path / name).write_bytes(written)
        found = code_of(tmp_path / name)
        assert expected is None or found == expected, name


def test_missing_transfer_syntax_is_refused(tmp_path, ct_slice):
    ct_slice(0).save_as(tmp_path / "x", enforce_file_format=True)
    content = (tmp_path / "x").read_bytes()
    # Group 2, element 11 is private to nobody: the transfer syntax is gone.
    (tmp_path / "x").write_bytes(content.replace(b"\x02\0\x10\0UI", b"\x02\0\x11\0UI", 1))
    assert code_of(tmp_path / "x") == "no-transfer-syntax"


def test_bad_values_are_errors_without_the_value(tmp_path, ct_slice):
    ct_slice(0).save_as(tmp_path / "x", enforce_file_format=True)
    content = (tmp_path / "x").read_bytes()
    for found, put in ((b"-1024.0 ", b"CANARY00"), (b"-1024.0 ", b"     nan")):
        (tmp_path / "y").write_bytes(content.replace(found, put))
        header, _ = read(tmp_path / "y")
        with pytest.raises(DataError) as caught:
            header.elements.number(tags.RESCALE_INTERCEPT, 0)
        assert caught.value.code == "bad-value"
        assert "CANARY" not in str(caught.value) + repr(caught.value)


def test_paths_and_links_out_of_the_root_are_refused(tmp_path, ct_slice):
    root = (tmp_path / "root").resolve()
    root.mkdir()
    ct_slice(0).save_as(tmp_path / "x", enforce_file_format=True)
    (root / "link").symlink_to(tmp_path / "x")
    (root / "folder").symlink_to(tmp_path)
    for path, code in (
        ("../x", "outside-root"),
        ("folder/x", "outside-root"),
        (str(tmp_path / "x"), None),
        ("link", "unreadable"),
        ("absent", "unreadable"),
    ):
        with pytest.raises(DataError) as caught:
            Confined(Source(root)).open(path)
        assert code is None or caught.value.code == code, path


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        Confined(Source(tmp_path.resolve())).open("pipe")


def test_files_are_opened_ahead_and_closed_however_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("medray.formats.dicom.confined.AHEAD_FILES", 4)
    monkeypatch.setattr("medray.formats.dicom.confined.AHEAD_BYTES", 1000)
    names = [f"{number:02d}" for number in range(20)]
    for number, name in enumerate(names):
        # The last ones are so large that only one is asked for at a time.
        (tmp_path / name).write_bytes(bytes([number]) * (900 if number > 12 else 10))
    files, this = Confined(Source(tmp_path.resolve())), psutil.Process()
    asked: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *call: asked.append(call[2]))
    before, open_now = this.num_fds(), []
    for number, opened in enumerate(files.open_all(names)):
        assert not isinstance(opened, DataError)
        assert os.pread(opened[0], 2000, 0) == bytes([number]) * opened[1].st_size
        open_now.append(this.num_fds() - before)
    # Four at first, filled up when two are left; from the 13th on two of them are beyond the bytes.
    assert open_now[:4] == [4, 3, 4, 3]
    assert max(open_now[14:]) == 2
    assert asked == [10] * 13 + [900] * 7
    assert this.num_fds() == before
    found = list(files.open_all([*names[:6], "none", *names[6:]]))
    assert [type(opened) for opened in found].index(DataError) == 6
    assert sum(isinstance(opened, DataError) for opened in found) == 1
    assert (found[6].code, this.num_fds()) == ("unreadable", before)
    broken_off = files.open_all(names)
    next(broken_off)
    broken_off.close()
    assert this.num_fds() == before


def test_only_short_values_are_kept():
    found = Elements(little=True)
    found.raw[tags.IMAGE_POSITION] = b"1\\2\\3"
    before = _known_floats.cache_info().currsize
    assert found.floats(tags.IMAGE_POSITION, 3) == (1, 2, 3)
    kept = _known_floats.cache_info().currsize
    found.raw[tags.IMAGE_POSITION] = b"\\".join(b"%d" % number for number in range(2000))
    with pytest.raises(DataError, match="bad-value"):
        found.floats(tags.IMAGE_POSITION, 3)
    assert len(found.floats(tags.IMAGE_POSITION, 2000)) == 2000
    assert _known_floats.cache_info().currsize == kept <= before + 1


def test_a_lack_of_descriptors_is_no_fault_of_the_file(tmp_path):
    names = [f"{number:02d}" for number in range(40)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    this = psutil.Process()
    before, limits = this.num_fds(), resource.getrlimit(resource.RLIMIT_NOFILE)
    files, held = Confined(Source(tmp_path.resolve())), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, limits[1]))
    try:
        with suppress(OSError):
            while True:
                held.append(os.dup(0))
        with pytest.raises(RetryableError, match="too-many-open-files"):
            list(files.open_all(names))
        # One at a time will do: what is asked for ahead must not fail what is there.
        os.close(held.pop())
        read = [os.pread(opened[0], 9, 0) for opened in files.open_all(names)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for handle in held:
            os.close(handle)
    assert read == [b"x"] * 40
    assert this.num_fds() == before


def test_values_equal_pydicoms_on_every_readable_file_of_the_zoo(data_dir):
    seen = 0
    for path in sorted((data_dir / "imaging").glob("dicom*/**/*")):
        if not path.is_file() or path.suffix in (".gz", ".json", ".bval", ".bvec"):
            continue
        try:
            header, _ = read(path)
        except DataError:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = dcmread(path, stop_before_pixels=True)
        for tag in (tags.ROWS, tags.COLUMNS, tags.BITS_STORED, tags.PIXEL_REPRESENTATION):
            assert header.elements.unsigned(tag, -1) == (
                theirs[tag].value if tag in theirs and theirs[tag].value is not None else -1
            ), path
        for tag in (tags.SOP_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.MODALITY):
            assert header.elements.text(tag) == (theirs[tag].value or "" if tag in theirs else "")
        for tag, count in ((tags.IMAGE_POSITION, 3), (tags.IMAGE_ORIENTATION, 6)):
            expected = tuple(map(float, theirs[tag].value or ())) if tag in theirs else ()
            assert header.elements.floats(tag, count) == expected, path
        seen += 1
    assert seen >= 200
