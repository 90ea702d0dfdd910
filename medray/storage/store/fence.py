"""Fences: of "an attempt commits" and "gc takes what the attempt wrote", exactly one happens.

One object decides both, since no store writes two at once: the record that a commit is. An attempt
looks at its place before it begins. There stands nothing, or a fence; and it commits only by
putting its record in the place of exactly that, create-only or by compare-and-swap. Who takes away
what attempts have written first puts a new fence there, which fails where a record stands. So
whatever was begun before a fence can't commit any more, however long it sleeps, and has to begin
again; and once a record stands nothing of it is taken. No clock has a part in it.

A fence goes when a later attempt's record takes its place. One of a unit that nobody does again
stays, since nobody knows who sleeps: it is 25 bytes.
"""

import json

from medray.errors import RetryableError
from medray.ids import attempt_id
from medray.storage.store.objects import Objects

# No record is as small, for each holds hashes of 64 digits: a listing tells them apart.
FENCE_BYTES = 25


def fence_of(data: bytes) -> str | None:
    """The fence that these bytes are; None where they are something else."""
    if len(data) != FENCE_BYTES:
        return None
    try:
        document = json.loads(data)
    except ValueError:
        return None
    known = isinstance(document, dict) and document.keys() == {"fence"}
    return str(document["fence"]) if known else None


def settle(objects: Objects, path: str, seen: str, record: bytes) -> bool:
    """Put a record in its place, if nothing has changed there since an attempt began.

    Args:
        objects: the storage root.
        path: of the record.
        seen: the fence that stood there, empty where nothing did.
        record: not as small as a fence.

    Returns:
        Whether ours stands there now. Else somebody else's does, or a fence that takes the attempt.
    """
    if not seen:
        return objects.put_new(path, record)
    try:
        standing, tag = objects.get_tagged(path)
    except FileNotFoundError:
        return False
    return fence_of(standing) == seen and objects.swap(path, record, tag)


def take(objects: Objects, path: str) -> bool:
    """Put a new fence in a record's place; after that no attempt that was begun before commits.

    False: a record stands there, or something that nobody can read, and nothing of it may go.
    """
    fence = new_fence()
    while True:
        try:
            standing, tag = objects.get_tagged(path)
        except FileNotFoundError:
            if objects.put_new(path, fence):
                return True
            continue
        if fence_of(standing) is None:
            return False
        if objects.swap(path, fence, tag):
            return True


def new_fence() -> bytes:
    """A fence that is no other."""
    return json.dumps({"fence": attempt_id()}).encode()


def taken(about: str) -> RetryableError:
    """The error of an attempt whose files gc has taken: it is to be done again."""
    return RetryableError(
        "gc took what this attempt had written",
        code="taken",
        about=about,
        hint="a greater --older-than of `medray gc` leaves alone what is under way",
    )
