"""One tree of errors. The class says what to do next, the code says what happened.

Codes are stable, lower-case and hyphenated; `about` names the object (a path, a unit, a key);
`hint` is the way out. Messages never carry values from a patient's file.
"""

import errno
from collections.abc import Iterable


class MedrayError(Exception):
    """Base of everything medray raises on purpose.

    Args:
        message: one sentence, without values from a patient's file.
        code: stable identifier of the cause, e.g. "gantry-tilt".
        about: the object the error is about.
        hint: what the reader can do about it.
    """

    exit_status = 1

    def __init__(self, message: str, *, code: str, about: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.about = about
        self.hint = hint

    def __str__(self) -> str:
        about = f"{self.about}: " if self.about else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{about}{self.message} [{self.code}]{hint}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; keyword-only arguments need a rebuild function for that.
        return _rebuild, (type(self), self.message, self.code, self.about, self.hint)


def _rebuild(cls: type[MedrayError], message: str, code: str, about: str, hint: str) -> MedrayError:
    return cls(message, code=code, about=about, hint=hint)


class SpecError(MedrayError):
    """A job file, profile or option is wrong: fix the file. Exit status 2."""

    exit_status = 2


class DataError(MedrayError):
    """One input is unusable: quarantine it and go on. Exit status 3 beyond the error budget."""

    exit_status = 3


class PassedOver(DataError):
    """One input is sound, but nothing that was asked for, such as an exact copy or a report: it is
    accounted for by itself, outside the error budget."""


class DamageError(DataError):
    """What medray stored is not what was committed; no input is to blame. Exit status 3."""


class RetryableError(MedrayError):
    """A passing fault of a store or a cluster: try again. Exit status 5 when retries run out."""

    exit_status = 5


class InterruptedRun(MedrayError):
    """The run was asked to stop, or cannot go on now; it can be resumed. Exit status 4."""

    exit_status = 4


class FatalError(MedrayError):
    """Going on would be wrong, for example a failed checksum: stop. Exit status 1."""


# By exit status what it asks for, from the gravest on: of several failures that names the run's.
# A bug, then a wrong job, then wrong data, then an ill store.
_KINDS: dict[int, type[MedrayError]] = {
    kind.exit_status: kind
    for kind in (FatalError, SpecError, DataError, RetryableError, InterruptedRun)
}
FINAL = frozenset({0, 1, 2, 3})  # after these, trying again is no use
LEFT = 130  # ended by Ctrl-C, as shells have it: 128 + SIGINT. What was submitted goes on


def status_of(error: BaseException | None) -> int:
    """The exit status that an error asks for: 0 of none, 1 of one that is not medray's."""
    if isinstance(error, MedrayError):
        return error.exit_status
    return int(error is not None)


def error_of(status: int | None) -> type[MedrayError]:
    """The class of error that a failure's exit status stands for; of an unknown one the gravest."""
    return _KINDS.get(status or FatalError.exit_status, FatalError)


def gravest(statuses: Iterable[int]) -> int:
    """Of several failures' exit statuses the one that the whole ends with."""
    given = set(statuses)
    return next((status for status in _KINDS if status in given), FatalError.exit_status)


def shortage(error: OSError) -> RetryableError | None:
    """What to raise where no file can be opened, since too many are: the file is not to blame."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return RetryableError(
        "too many files are open",
        code="too-many-open-files",
        hint="raise the limit: `ulimit -n 65536`",
    )
