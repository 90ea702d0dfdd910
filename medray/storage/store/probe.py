"""What a store is asked before it is trusted: whether its writes are conditional, and the time."""

import secrets

from medray.errors import SpecError
from medray.storage.store.objects import Objects

TRIES = 3  # somebody who collects garbage may take a probe away


def probe(objects: Objects) -> None:
    """Check that create-only and compare-and-swap writes really are conditional here.

    Raises:
        SpecError: they are not (code "unconditional-store"): two runs could both win.
    """
    for _ in range(TRIES):
        if _is_conditional(objects):
            return
    raise SpecError(
        "the store does not honour conditional writes",
        code="unconditional-store",
        about=objects.url,
        hint="use a store with If-None-Match and If-Match on PUT",
    )


def _is_conditional(objects: Objects) -> bool:
    path = _path()
    try:
        first = objects.put_new(path, b"1")
        second = objects.put_new(path, b"2")
        tag = objects.get_tagged(path)[1]
        third, fourth = objects.swap(path, b"3", tag), objects.swap(path, b"4", tag)
    except FileNotFoundError:
        return False
    finally:
        objects.delete([path])
    return (first, second, third, fourth) == (True, False, True, False)


def store_time(objects: Objects) -> float:
    """Now, in seconds since the epoch, by the clock that tells when objects were written."""
    path = _path()
    while True:
        objects.put(path, b"")
        try:
            return objects.modified(path)
        except FileNotFoundError:
            continue
        finally:
            objects.delete([path])


def _path() -> str:
    return f"probe/{secrets.token_hex(8)}"
