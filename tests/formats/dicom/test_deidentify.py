"""Pseudonyms are a function of key and value, and nothing of a person leaves the format."""

import json
import logging
import re
from datetime import date

import pytest
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict, tag_for_keyword

from medray.errors import SpecError
from medray.formats.dicom.deidentify import Keyed, Plain
from medray.formats.dicom.headers import tags
from medray.formats.dicom.references import source_images
from medray.formats.site_key import load_key

KEY = b"0123456789abcdef"
CANARY = "CANARY"
KEYED = {"deidentify": {"key_env": "TEST_DEID_KEY"}}


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("TEST_DEID_KEY", KEY.decode())


def test_pseudonyms_are_fixed_for_ever():
    # Changing these breaks the link between runs of a site; they were computed with openssl's HMAC.
    names = Keyed(KEY)
    assert names.subject("P1", "") == "sub-" + hmac_hex("patient", "\0P1")[:20]
    assert names.name("series", "1.2.3") == "series-" + hmac_hex("series", "1.2.3")[:20]
    raw = bytearray.fromhex(hmac_hex("uid", "1.2.3")[:32])
    raw[6], raw[8] = raw[6] & 15 | 0x80, raw[8] & 63 | 0x80
    assert names.uid("1.2.3") == f"2.25.{int.from_bytes(raw, 'big')}"


def hmac_hex(kind, value):
    # RFC 2104 by hand, so that the test shares nothing with the code.
    from hashlib import sha256

    block = KEY.ljust(64, b"\0")
    inner = sha256(bytes(b ^ 0x36 for b in block) + f"{kind}\0{value}".encode()).digest()
    return sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


def test_uids_are_valid_and_differ_by_key_and_value():
    uids = {Keyed(key).uid(uid) for key in (KEY, KEY[::-1]) for uid in ("1.2", "1.3")}
    assert len(uids) == 4
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{30,38}", uid) for uid in uids)
    assert Keyed(KEY).uid("") == ""


def test_dates_keep_their_distance_within_a_patient_and_not_across():
    names = Keyed(KEY)
    first, later = (date.fromisoformat(names.date(day, "P1")) for day in ("20240229", "20240310"))
    assert (later - first).days == 10
    assert 1 <= (date(2024, 2, 29) - first).days <= 3650
    assert names.date("20240229", "P2") != first.isoformat()
    assert [names.date(day, "P1") for day in ("", "20241301", "CANARY!!", "20240230")] == [""] * 4


def test_the_key_comes_from_file_or_environment_and_is_never_shown(tmp_path, monkeypatch):
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert load_key("UNSET_VARIABLE", str(tmp_path / "key")) == KEY
    assert load_key("TEST_DEID_KEY", "") == KEY
    assert KEY.decode() not in repr(Keyed(KEY)) + Keyed(KEY).fingerprint
    monkeypatch.setenv("SHORT_KEY", "secret")
    for environment, path, code in (
        ("UNSET_VARIABLE", "", "no-deid-key"),
        ("TEST_DEID_KEY", str(tmp_path / "none"), "no-deid-key"),
        ("SHORT_KEY", "", "weak-deid-key"),
    ):
        with pytest.raises(SpecError) as caught:
            load_key(environment, path)
        assert caught.value.code == code
        assert "secret" not in str(caught.value)


def test_another_key_is_another_unit(write_series, ingest, monkeypatch):
    write_series(3)
    first = ingest(**KEYED).plan.groups[0][0]
    monkeypatch.setenv("TEST_DEID_KEY", "another-secret-of-the-site")
    second = ingest(**KEYED).plan.groups[0][0]
    assert first.key != second.key
    assert first.fingerprint != second.fingerprint


def text_keywords():
    """Every public text attribute of the standard that a person could be named in."""
    for keyword in keyword_dict:
        tag = tag_for_keyword(keyword)
        if tag is None or tag in tags.WANTED or tag >> 16 in (0, 2) or tag >> 16 >= 0x6000:
            continue
        if dictionary_VR(tag) in ("PN", "LO", "SH", "ST", "LT", "UT", "UC"):
            yield keyword, dictionary_VM(tag)


def plant(data, index):
    """Put the canary into every text attribute, the wanted free texts too, and private ones."""
    for keyword, _ in text_keywords():
        setattr(data, keyword, f"{CANARY}^{index}")
    data.PatientID = data.IssuerOfPatientID = f"{CANARY}-1"
    data.Manufacturer = f"{CANARY} Inc"
    data.SeriesDescription = f"{CANARY} description"
    data.ConvolutionKernel = f"{CANARY}30f"[:16]
    data.PatientSex, data.PatientAge = "F", "093Y"
    block = data.private_block(0x0029, f"{CANARY} CREATOR", create=True)
    block.add_new(1, "LO", f"{CANARY} private")


def test_no_canary_leaves_in_rows_refusals_errors_or_logs(write_series, ingest, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    count = len(list(text_keywords()))
    assert count > 700
    write_series(3, folder=f"{CANARY}_JANE/good", change=plant)

    def tilted(data, index):
        plant(data, index)
        data.SeriesInstanceUID = "1.2.3.5"
        data.SOPInstanceUID = f"1.2.3.5.{index}"
        data.ImageOrientationPatient = [1, 0, 0, 0, 0.9, 0.435890]

    write_series(3, folder=f"{CANARY}_JANE/tilted", change=tilted)

    def undecodable(data, index):
        plant(data, index)
        data.SeriesInstanceUID, data.SOPInstanceUID = "1.2.3.6", f"1.2.3.6.{index}"
        data.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
        data.PixelData = data.PixelData[:40] + b"\xff" * (len(data.PixelData) - 40)

    write_series(3, folder=f"{CANARY}_JANE/bad", change=undecodable)
    (tmp_path / "source" / f"{CANARY}_JANE" / f"{CANARY}.dcm").write_bytes(b"damaged")
    found = ingest(**KEYED, select={"description": CANARY})
    assert len(found.samples) == 1
    assert len(found.errors) == 2
    leaving = [repr(sample) for sample in found.samples]
    leaving += [json.dumps(sample.row) for sample in found.samples]
    leaving += [repr(refusal) for refusal in found.refused]
    leaving += [str(error) + repr(error) + repr(error.__cause__) for error in found.errors]
    leaving += [repr(item.key) + item.fingerprint for g in found.plan.groups for item in g]
    leaving += [record.getMessage() for record in caplog.records]
    assert not [text for text in leaving if CANARY in text.upper() or "JANE" in text.upper()]
    # UIDs of the source are identifiers as well.
    assert not [text for text in leaving if "1.2.3.4" in text]


def test_sex_and_age_are_kept_only_on_request_and_old_age_is_capped(write_series, ingest):
    write_series(3, change=plant)
    (sample,) = ingest(**KEYED).samples
    assert "sex" not in sample.row
    (sample,) = ingest(deidentify=KEYED["deidentify"] | {"keep_sex_and_age": True}).samples
    assert (sample.row["sex"], sample.row["age_years"]) == ("F", 90)


@pytest.mark.parametrize(
    "values",
    [
        {"BurnedInAnnotation": "YES"},
        {"Modality": "US"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    ],
)
def test_a_risk_of_burned_in_text_is_quarantined(write_series, ingest, values):
    write_series(3, **values)
    select = {"modality": ["CT", "US"], "secondary_captures": True}
    assert ingest(**KEYED, select=select).codes == {"burned-in-risk": 3}
    assert len(ingest(select=select).samples) == 1


def test_one_burned_in_slice_is_enough(write_series, ingest):
    def change(data, index):
        data.BurnedInAnnotation = "YES" if index == 2 else "NO"

    write_series(4, change=change)
    assert ingest(**KEYED).codes == {"burned-in-risk": 4}


def test_kernels_and_vendors_come_from_closed_lists(write_series, ingest):
    write_series(3, Manufacturer="GE MEDICAL SYSTEMS", ConvolutionKernel="BONEPLUS")
    (sample,) = ingest(**KEYED).samples
    assert (sample.row["manufacturer"], sample.row["kernel"]) == ("ge", "BONEPLUS")


def test_source_images_carry_pseudonyms_and_say_so(write_series, ingest):
    written = write_series(3)
    (sample,) = ingest(**KEYED).samples
    images = source_images(sample.row["dicom_geometry"])
    names = Keyed(KEY)
    assert [image.SOPInstanceUID for image in images] == [
        names.uid(data.SOPInstanceUID) for data in written
    ]
    assert images[2].ImagePositionPatient == written[2].ImagePositionPatient
    assert images[0].PatientID == sample.row["subject"]
    assert images[0].PatientIdentityRemoved == "YES"
    codes = [item.CodeValue for item in images[0].DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107"]
    (plain,) = ingest().samples
    assert source_images(plain.row["dicom_geometry"])[0].SOPInstanceUID == "1.2.3.4.1"
    assert "PatientIdentityRemoved" not in source_images(plain.row["dicom_geometry"])[0]
    assert Plain().fingerprint == "plain"
