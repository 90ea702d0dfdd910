"""How identifiers of recordings leave a format: pseudonyms under the site's key, dates shifted.

What headers say freely (comments, patients' names, addresses of hospitals) is never read into a
sample; what groups recordings, their names and subjects, is replaced by HMAC-SHA256 under the key,
and dates are shifted by days that are one number for a subject.
"""

import datetime
import hashlib
import hmac
from dataclasses import replace
from typing import Literal

from pydantic import Field

from medray.formats.base import FormatOptions
from medray.formats.site_key import load_key
from medray.storage.shards.records import Refusal

MAX_SHIFT_DAYS = 3650


class Deidentify(FormatOptions):
    """How identifiers leave the format; the key itself never stands here."""

    method: Literal["keyed", "none"] = Field(
        "keyed", description="none: the source is de-identified already"
    )
    key_env: str = Field("MEDRAY_DEID_KEY", description="environment variable that holds the key")
    key_file: str = Field("", description="file that holds the key; goes before key_env")


class Pseudonyms:
    """A pure function of key and value, so that every worker says the same.

    Args:
        options: of the job.

    Raises:
        SpecError: there is no key, or a weak one.
    """

    def __init__(self, options: Deidentify) -> None:
        keyed = options.method == "keyed"
        self._key = load_key(options.key_env, options.key_file) if keyed else b""
        self.keyed = keyed
        self.fingerprint = self._digest("key", "fingerprint").hex()[:16] if keyed else "plain"
        """Changes with the key, says nothing about it: part of a unit's identity."""

    def name(self, kind: str, value: str) -> str:
        """What stands for a name, e.g. of a "record" or a "subject"; "" for ""."""
        if not self.keyed or not value:
            return value
        return f"{kind}-" + self._digest(kind, value).hex()[:20]

    def start(self, moment: datetime.datetime | None, subject: str) -> str:
        """When a recording began, ISO 8601, on a day that is shifted by as much for all of a
        subject (its name as the file has it); "" where it is not known."""
        if moment is None:
            return ""
        return (moment - datetime.timedelta(days=self.days(subject))).isoformat()

    def days(self, subject: str) -> int:
        """By how many days all dates of a subject, by its name as the file has it, go back."""
        if not self.keyed:
            return 0
        return 1 + int.from_bytes(self._digest("date", subject)[:8], "big") % MAX_SHIFT_DAYS

    def refusal(self, refused: Refusal) -> Refusal:
        """A refusal as the quarantine may show it: paths of files often hold names."""
        if not self.keyed:
            return refused
        return replace(refused, source=self.name("file", refused.source), path="")

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._key, f"signal\0{kind}\0{value}".encode(), hashlib.sha256)
