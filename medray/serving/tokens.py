"""Bearer tokens: random, shown once, kept as hashes in a file of the owner's."""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from medray.errors import SpecError

_LINE = re.compile(r"^sha256:[0-9a-f]{64}$")


def hash_of(token: str) -> str:
    """What is kept of a token. It has 256 random bits, so a plain hash cannot be turned back."""
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def add_token(file: Path) -> str:
    """Make a token, append its hash to `file` (made 0600 where it is not there), and give it.

    Raises:
        SpecError: the file is not the owner's alone, or cannot be written.
    """
    token = secrets.token_urlsafe(32)
    try:
        if file.exists():
            read_tokens(file)
        else:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(file, flags, 0o600), "w") as out:
            out.write(hash_of(token) + "\n")
    except OSError as error:
        raise _unreadable(file, error) from error
    return token


def read_tokens(file: Path) -> tuple[str, ...]:
    """The hashes in `file`, one a line; several, so that tokens can be replaced one by one.

    Raises:
        SpecError: it is missing ("no-token-file"), open to others ("loose-token-file"), or holds
            something else, such as a token itself ("bad-token-file").
    """
    try:
        mode = file.stat().st_mode
        lines = file.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    # A mounted Secret may be readable by the pod's group.
    if mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP):
        raise SpecError(
            "others may read or change the file",
            code="loose-token-file",
            about=str(file),
            hint="chmod 600",
        )
    if not lines or not all(_LINE.match(line) for line in lines):
        raise SpecError(
            "expected lines sha256:<64 hex digits>, and nothing else",
            code="bad-token-file",
            about=str(file),
            hint="`medray serve --new-token` appends one; a token itself must not stand there",
        )
    return tuple(lines)


def known(token: str, hashes: Iterable[str]) -> bool:
    """Whether one of `hashes` is the token's. Takes as long whichever it is."""
    own = hash_of(token)
    found = False
    for one in hashes:
        found |= hmac.compare_digest(own, one)
    return found


def _unreadable(file: Path, error: Exception) -> SpecError:
    return SpecError(
        f"the tokens cannot be read ({type(error).__name__})",
        code="no-token-file",
        about=str(file),
        hint="`medray serve --new-token` makes one",
    )
