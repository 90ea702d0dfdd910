"""The site's key, under which identifiers of people become pseudonyms."""

import os
from pathlib import Path

from medray.errors import SpecError

MIN_KEY_BYTES = 16


def load_key(environment: str, path: str) -> bytes:
    """The site's key, from a file or from an environment variable; never from a job file.

    Args:
        environment: name of the variable, read when `path` is "".
        path: of a file that holds the key.

    Raises:
        SpecError: "no-deid-key" or "weak-deid-key" (under 16 bytes).
    """
    about = path or environment
    if path:
        try:
            key = Path(path).read_bytes().strip()
        except OSError:
            raise SpecError("the key file cannot be read", code="no-deid-key", about=path) from None
    else:
        key = os.environ.get(environment, "").encode()
    if not key:
        raise SpecError(
            "de-identification needs a key and there is none",
            code="no-deid-key",
            about=about,
            hint=f"export {environment}=$(openssl rand -hex 32) and keep it, or name a key file",
        )
    if len(key) < MIN_KEY_BYTES:
        raise SpecError(
            f"the key has fewer than {MIN_KEY_BYTES} bytes", code="weak-deid-key", about=about
        )
    return key
