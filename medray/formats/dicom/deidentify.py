"""Keyed de-identification: pseudonyms that every worker computes alike, without a table.

Design: samples hold an allow-list of technical values (see `tags`), so whatever the basic profile
of DICOM PS3.15, annex E, removes or empties (names, addresses, comments, private elements) is
never read at all. What the profile replaces is replaced here: UIDs (action U) and the patient's id
by HMAC-SHA256 under the site's key, dates by a shift that is one per patient (option 113107).
Pixels with a risk of burned-in text are refused, since no header can prove their absence.
"""

import datetime
import hashlib
import hmac
import re
from typing import Protocol

from medray.errors import DataError
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements

MAX_SHIFT_DAYS = 3650

# Ultrasound, captures, endoscopy, photographs and documents: text in the picture is usual.
RISKY_MODALITIES = frozenset({"US", "IVUS", "ES", "XC", "GM", "OP", "SC", "DOC", "OT"})
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# Of the thorax and of limbs; of the breast.
VIEWS = frozenset(
    {"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"}
    | {"CC", "ML", "MLO", "LM", "LMO", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM"}
)
VENDORS = (
    "ge",
    "siemens",
    "philips",
    "canon",
    "toshiba",
    "hitachi",
    "fujifilm",
    "united imaging",
    "hyperfine",
    "neusoft",
    "esaote",
)
# Kernels as vendors write them: B30f, Br40d\3, I31f, FC18, STANDARD, BONEPLUS, YA, 2.
KERNEL = re.compile(
    r"[BHDIJTUQ][a-z]{0,2}\d{2}[a-z]{0,2}(\\\d)?|FC\d{2}|[A-FL]|YA|YB|\d{1,2}"
    r"|STANDARD|SOFT|BONE|BONEPLUS|LUNG|DETAIL|EDGE|CHEST"
)


class Pseudonyms(Protocol):
    """How identifiers leave the format."""

    fingerprint: str
    """Changes with the key, says nothing about it: part of a unit's identity."""

    def uid(self, uid: str) -> str:
        """A UID for a UID; "" for ""."""
        ...

    def subject(self, patient: str, issuer: str) -> str:
        """The name under which all samples of a patient are grouped."""
        ...

    def name(self, kind: str, value: str) -> str:
        """The name of a file or series in plans, reports and the quarantine."""
        ...

    def date(self, date: str, patient: str) -> str:
        """A DICOM date (YYYYMMDD) as ISO 8601; "" where it is absent or malformed."""
        ...


class Keyed:
    """Pseudonyms by HMAC-SHA256: a pure function of key and value.

    Args:
        key: the site's secret, at least 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.fingerprint = self._digest("key", "fingerprint").hex()[:16]

    def uid(self, uid: str) -> str:
        if not uid:
            return ""
        raw = bytearray(self._digest("uid", uid)[:16])
        # 2.25.<UUID as a number> (PS3.5 B.2); version 8 is for values of one's own making.
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(raw, 'big')}"

    def subject(self, patient: str, issuer: str) -> str:
        return "sub-" + self._digest("patient", f"{issuer}\0{patient}").hex()[:20]

    def name(self, kind: str, value: str) -> str:
        return f"{kind}-" + self._digest(kind, value).hex()[:20]

    def date(self, date: str, patient: str) -> str:
        parsed = _parsed(date)
        if parsed is None:
            return ""
        raw = int.from_bytes(self._digest("date", patient)[:8], "big")
        return (parsed - datetime.timedelta(days=1 + raw % MAX_SHIFT_DAYS)).isoformat()

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{value}".encode(), hashlib.sha256)


class Plain:
    """No pseudonyms: for sources that are de-identified already, by the job's own word."""

    fingerprint = "plain"

    def uid(self, uid: str) -> str:
        return uid

    def subject(self, patient: str, issuer: str) -> str:
        return patient

    def name(self, kind: str, value: str) -> str:
        return value

    def date(self, date: str, patient: str) -> str:
        parsed = _parsed(date)
        return "" if parsed is None else parsed.isoformat()


def _parsed(date: str) -> datetime.date | None:
    try:
        parsed = datetime.date(int(date[:4]), int(date[4:6]), int(date[6:8]))
    except ValueError:
        return None
    # A shift must not leave the calendar.
    return parsed if parsed.year > 1850 else None


def burned_in_risk(elements: Elements) -> str:
    """Why pixels may show the patient's name; "" where nothing points to it."""
    kind = elements.texts(tags.IMAGE_TYPE)
    sop_class = elements.text(tags.SOP_CLASS_UID)
    if elements.text(tags.BURNED_IN_ANNOTATION).upper() == "YES":
        return "the header says that text is burned into the pixels"
    if elements.text(tags.MODALITY) in RISKY_MODALITIES:
        return "pictures of this modality usually show text"
    if sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        return "a secondary capture may show text"
    if any("SCREEN" in part.upper() for part in kind):
        return "a screen save may show text"
    return ""


def require_one_person(first: Elements, other: Elements) -> None:
    """Two files of a series must not name two patients; one that names none goes with either.

    Raises:
        DataError: they do (code "several-patients").
    """
    for tag in (tags.PATIENT_ID, tags.ISSUER_OF_PATIENT_ID):
        one, two = first.text(tag), other.text(tag)
        if one and two and one != two:
            raise DataError(
                "files of one series are of two patients",
                code="several-patients",
                hint="a tool that gives each file a patient of its own has broken the series",
            )


def vendor(elements: Elements) -> str:
    """The manufacturer as one of a closed list, else "other": free text can hold names."""
    text = elements.text(tags.MANUFACTURER).lower()
    return next((name for name in VENDORS if text.startswith(name)), "other" if text else "")


def view(elements: Elements) -> str:
    """The side that an X-ray was taken from, as a defined term of ViewPosition, else ""."""
    text = elements.text(tags.VIEW_POSITION).upper()
    return text if text in VIEWS else ""


def kernel(elements: Elements) -> str:
    """The convolution kernel when it looks like one, else ""."""
    text = elements.text(tags.CONVOLUTION_KERNEL)
    return text if KERNEL.fullmatch(text) else ""
