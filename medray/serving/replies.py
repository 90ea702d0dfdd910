"""What goes back to who asked, and what HTTP calls it when something is wrong."""

import json
from dataclasses import dataclass, field, replace

from medray.errors import DataError, MedrayError, RetryableError
from medray.log import event
from medray.modalities.media import JSON, TOO_LARGE


@dataclass(frozen=True)
class Reply:
    """What goes back to who asked.

    Args:
        status: of HTTP.
        media: type of the body.
        body: its bytes.
        headers: besides.
    """

    status: int
    media: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def failure(error: BaseException) -> Reply:
    """The reply for a request that went wrong: what HTTP calls it, the code, and the way out.

    Of what was not foreseen only the type is said: the text of a library's error may quote the
    body.
    """
    if not isinstance(error, MedrayError):
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            error = DataError("needs more memory than the replica has", code="out-of-memory")
        else:
            event("unexpected", level=30, exception=type(error).__name__)
            return refuse(500, "unexpected-error", type(error).__name__)
    return refuse(_status(error), error.code, error.message, error.hint)


def refuse(status: int, code: str, message: str, hint: str = "") -> Reply:
    """A reply that says no, as JSON."""
    body = {"error": {"code": code, "message": message, "hint": hint}}
    reply = Reply(status, JSON, json.dumps(body).encode())
    # A second: a batch is over by then, or a replica that died has been replaced by another.
    return replace(reply, headers={"Retry-After": "1"}) if status == 503 else reply


def _status(error: MedrayError) -> int:
    if isinstance(error, RetryableError):
        return 503
    if not isinstance(error, DataError):
        return 500
    if error.code in TOO_LARGE or error.code == "out-of-memory":
        return 413
    return _STATUS.get(error.code, 422)


_STATUS = {
    "unsupported-media": 415,
    "not-acceptable": 406,
    "no-such-model": 404,
    "no-such-job": 404,
}
