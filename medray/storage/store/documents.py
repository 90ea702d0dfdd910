"""The one door through which control objects are read: JSON that medray wrote, held to its form.

A control object is a HEAD, a manifest, a commit, a run's spec: whatever steers and is not data.
What stands in its place may be anything, after a disk failed or a hand slipped; whoever reads it
gets an object of the form that was written, or one error that names the object and the way out.
"""

import datetime
import json
import math
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from medray.errors import DamageError, DataError
from medray.storage.store.damage import way_out
from medray.storage.store.objects import Objects

# A count, or a size in bytes: what Arrow's integers hold, with room to add them up.
Count = Annotated[int, Field(ge=0, lt=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def _moment(text: str) -> str:
    if datetime.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("no time zone")
    return text


Moment = Annotated[str, AfterValidator(_moment)]  # ISO 8601, as `medray.clock.stamp` writes it
T = TypeVar("T")
AGAIN = "delete it and run the job again"


def read(objects: Objects, path: str, kind: type[T], hint: str = "") -> T:
    """One control object.

    Args:
        objects: the storage root.
        path: of the object.
        kind: a dataclass or another type; its fields say what the object must hold.
            What it holds besides is passed over.
        hint: the way out, where it is damaged; empty: what mends a dataset or model.

    Raises:
        FileNotFoundError: there is none.
        DamageError: it is damaged (code "damaged-record").
    """
    return decode(objects.get(path), path, kind, hint)


def decode(data: bytes, path: str, kind: type[T], hint: str = "") -> T:
    """As `read`, of bytes that were read already."""
    try:
        # NaN is no JSON, also where a field may be anything; and infinite is what is too large.
        json.loads(data, parse_float=_finite, parse_constant=_finite)
        document: T = _adapter(cast("Any", kind)).validate_json(data, strict=True)
    except (ValidationError, ValueError, RecursionError) as error:
        raise damaged(path, hint) from error
    return document


def keep(objects: Objects, path: str, data: bytes) -> None:
    """Write an object down, unless it stands there as it is: to read it is not to wait for a disk.

    Raises:
        RetryableError: storage failed.
    """
    with suppress(FileNotFoundError, DataError):
        if objects.get(path) == data:
            return
    objects.put(path, data)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no number")
    return number


def damaged(path: str, hint: str = "") -> DamageError:
    """The error for a control object that is not what was written."""
    what = "damaged: it is not what medray wrote"
    return DamageError(what, code="damaged-record", about=path, hint=hint or _way_out(path))


def _way_out(path: str) -> str:
    room, _, rest = path.partition("/")
    return way_out(rest.split("/")[0]) if room in ("datasets", "models") else AGAIN


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
