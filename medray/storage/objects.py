"""A root in an object store: the only door to storage, on a disk or in a bucket.

Two verbs carry the promise of exactly-once output: `put_new` (create only) and `swap`
(compare-and-swap). obstore gives both on object stores; for folders it lacks compare-and-swap,
which is made here of a lock file and a rename.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore, from_url

from medray.errors import FatalError, RetryableError, SpecError
from medray.storage.disk import read_ranges, sync, write_file


@dataclass(frozen=True)
class Entry:
    """One stored object: path below the root, size in bytes, seconds since the epoch, ETag."""

    path: str
    size: int
    modified: float
    etag: str


class Objects:
    """Objects below a root URL. Cheap to pickle: it travels as URL and options.

    Args:
        url: `file:///folder`, `s3://bucket/prefix`, `memory:///`, or a plain path.
        options: of the store (endpoint, region, …), passed on to obstore; never secrets.

    Raises:
        SpecError: nothing can be stored there (code "bad-storage").
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url if "://" in url else Path(url).absolute().as_uri()
        self.options = options
        parts = urlparse(self.url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._store: ObjectStore = from_url(self.url, **options)
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise SpecError(
                f"cannot be a root of storage ({type(error).__name__})",
                code="bad-storage",
                about=self.url,
                hint="give a folder that can be made and written to, or the URL of a store",
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.url, self.options)

    def __repr__(self) -> str:
        return f"Objects({self.url!r})"

    def get(self, path: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: there is none.
            RetryableError: the store cannot be reached.
        """
        if self._folder is not None:
            return bytes(self._try(path, (self._folder / path).read_bytes))
        return bytes(self._try(path, lambda: obstore.get(self._store, path).bytes()))

    def get_tagged(self, path: str) -> tuple[bytes, str]:
        """The object's bytes and its ETag, for a later `swap`."""
        answer = self._try(path, lambda: obstore.get(self._store, path))
        return bytes(answer.bytes()), answer.meta["e_tag"] or ""

    def get_tail(self, path: str, size: int) -> bytes:
        """The last `size` bytes of the object."""
        return bytes(
            self._try(
                path,
                lambda: obstore.get(self._store, path, options={"range": {"suffix": size}}).bytes(),
            )
        )

    def get_ranges(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> list[memoryview]:
        """Several byte ranges of one object, in one request where the store can.

        Ranges past the object's end come back short.
        """
        if self._folder is not None:
            place = self._folder / path
            views = self._try(path, partial(read_ranges, place, starts, ends))
            return list(views)
        parts = self._try(
            path, lambda: obstore.get_ranges(self._store, path, starts=starts, ends=ends)
        )
        return [memoryview(part) for part in parts]

    def put(self, path: str, data: bytes) -> None:
        """Write an object whole, replacing what stood there; durable when this returns.

        Raises:
            RetryableError: the write failed; on a full disk the code is "storage-full".
        """
        if self._folder is None:
            self._try(path, lambda: obstore.put(self._store, path, data))
        else:
            place = self._folder / path
            self._try(path, lambda: write_file(place, data))

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object only where there is none. False: somebody else's stands there."""
        try:
            self._try(path, lambda: obstore.put(self._store, path, data, mode="create"))
        except AlreadyExistsError:
            return False
        self._sync(path)
        return True

    def swap(self, path: str, data: bytes, etag: str | None) -> bool:
        """Replace an object only if its ETag is still `etag` (None: only if there is none)."""
        if etag is None:
            return self.put_new(path, data)
        if self._folder is not None:
            place = self._folder / path
            return bool(self._try(path, lambda: self._swap_local(place, path, data, etag)))
        try:
            self._try(path, lambda: obstore.put(self._store, path, data, mode={"e_tag": etag}))
        except PreconditionError:
            return False
        return True

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """Every object below `prefix`, in no particular order. A prefix is a folder."""
        for batch in self._try(prefix, lambda: list(obstore.list(self._store, prefix or None))):
            for meta in batch:
                if not PurePosixPath(meta["path"]).name.startswith(".lock-"):
                    yield Entry(
                        meta["path"],
                        meta["size"],
                        meta["last_modified"].timestamp(),
                        meta["e_tag"] or "",
                    )

    def cut_writes(self) -> Iterator[Entry]:
        """What writes that a kill cut short left on a disk; no other listing shows it."""
        if self._folder is None:
            return
        for place in self._folder.rglob("*#*"):
            if place.name.rpartition("#")[2].isdigit():
                status = place.stat()
                path = place.relative_to(self._folder).as_posix()
                yield Entry(path, status.st_size, status.st_mtime, "")

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below `prefix`, sorted."""
        found = self._try(prefix, lambda: obstore.list_with_delimiter(self._store, prefix))
        return sorted(PurePosixPath(path).name for path in found["common_prefixes"])

    def exists(self, path: str) -> bool:
        """Whether the object is there."""
        try:
            self._try(path, lambda: obstore.head(self._store, path))
        except FileNotFoundError:
            return False
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects; those already gone are no error."""
        for path in paths:
            try:
                if self._folder is None:
                    self._try(path, partial(obstore.delete, self._store, path))
                else:
                    self._try(path, (self._folder / path).unlink)
                    self._prune(self._folder / path)
            except FileNotFoundError:
                continue

    def probe(self) -> None:
        """Check that create-only and compare-and-swap writes really are conditional here.

        Raises:
            SpecError: they are not (code "unconditional-store"): two runs could both win.
        """
        path = f"probe/{secrets.token_hex(8)}"
        try:
            first = self.put_new(path, b"1")
            second = self.put_new(path, b"2")
            tag = self.get_tagged(path)[1]
            third, fourth = self.swap(path, b"3", tag), self.swap(path, b"4", tag)
        finally:
            self.delete([path])
        if (first, second, third, fourth) != (True, False, True, False):
            raise SpecError(
                "the store does not honour conditional writes",
                code="unconditional-store",
                about=self.url,
                hint="use a store with If-None-Match and If-Match on PUT",
            )

    def _try(self, path: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (FileNotFoundError, AlreadyExistsError, PreconditionError):
            raise
        except (obstore.exceptions.BaseError, OSError) as error:
            text = str(error)
            if "No space left" in text or "Disk quota" in text:
                raise RetryableError(
                    "no space left in storage",
                    code="storage-full",
                    about=f"{self.url}/{path}",
                    hint="free space, then `medray resume`",
                ) from error
            if "File too large" in text:
                raise FatalError(
                    "the file system refused the file's size",
                    code="storage-limit",
                    about=f"{self.url}/{path}",
                ) from error
            raise RetryableError(
                f"storage failed ({type(error).__name__})",
                code="storage-failed",
                about=f"{self.url}/{path}",
                hint="check that the store is reachable and writable, then `medray resume`",
            ) from error

    def _sync(self, path: str) -> None:
        # obstore renames into place without fsync; a commit must outlive a power cut too.
        if self._folder is not None:
            place = self._folder / path
            self._try(path, lambda: sync(place, place.parent))

    def _swap_local(self, place: Path, path: str, data: bytes, etag: str) -> bool:
        lock = os.open(place.parent / f".lock-{place.name}", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                current = obstore.head(self._store, path)["e_tag"]
            except FileNotFoundError:
                return False
            if current != etag:
                return False
            self.put(path, data)
            return True
        finally:
            os.close(lock)

    def _prune(self, place: Path) -> None:
        for folder in place.parents:
            if folder == self._folder:
                return
            try:
                folder.rmdir()
            except OSError:
                return


def _reopen(url: str, options: dict[str, Any]) -> Objects:
    return Objects(url, **options)
