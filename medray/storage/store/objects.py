"""A root in an object store: the only door to storage, on a disk or in a bucket.

Two verbs carry the promise of exactly-once output: `put_new` (create only) and `swap`
(compare-and-swap). obstore gives both on object stores; for folders it lacks compare-and-swap,
which is made here of a lock file and a rename. What a bucket adds is in `bucket`.
"""

import fcntl
import io
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import LocalStore, ObjectStore

from medray.errors import DataError, SpecError
from medray.spec.storage import Storage, at
from medray.storage.store import disk, listing
from medray.storage.store.listing import Entry
from medray.storage.store.remote import READS, NewObject, Remote, copy_to, new_token
from medray.storage.store.store_errors import LASTING, code_of, explain, is_exhausted

PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
Pieces = disk.NewFile | NewObject
Data = bytes | bytearray


class Objects:
    """Objects below a root. Cheap to pickle: it travels as its profile, which holds no secrets.

    Args:
        place: a profile; or the URL or path of a root that needs none.

    Raises:
        SpecError: nothing can be stored there (code "bad-storage").
    """

    def __init__(self, place: str | Storage) -> None:
        url = place if isinstance(place, str) else place.url
        self.url = url if "://" in url else Path(url).absolute().as_uri()
        self.profile = place if isinstance(place, Storage) else at(url)
        parts = urlparse(self.url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._root = str(self._folder)  # to format a path takes as long as to open a file
        self._remote: Remote | None = None
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._store: ObjectStore = LocalStore(self._folder)
            else:
                self._open()
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise SpecError(
                f"cannot be a root of storage ({type(error).__name__})",
                code="bad-storage",
                about=self.url,
                hint="give a folder that can be made and written to, or s3://BUCKET/PREFIX",
            ) from error

    def _open(self) -> None:
        self._remote = Remote(self.profile)
        self._store = self._remote.store

    def __reduce__(self) -> tuple[Any, ...]:
        return Objects, (self.profile.model_copy(update={"url": self.url}),)

    def __repr__(self) -> str:
        return f"Objects({self.url!r})"

    def beside(self, url: str) -> "Objects":
        """Another root of the same service, reached by the same right."""
        return Objects(self.profile.beside(url))

    @property
    def folder(self) -> Path | None:
        """The root as a folder of this machine; None where it is none."""
        return self._folder

    def get(self, path: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: there is none.
            DataError: a store gives other bytes than were written (code "damaged-object").
            RetryableError: the store cannot be reached, or refuses (see `store_errors`).
        """
        if self._folder is not None:
            return bytes(self._try(path, partial(disk.read_file, f"{self._root}/{path}")))
        return self.get_tagged(path)[0]

    def get_tagged(self, path: str) -> tuple[bytes, str]:
        """The object's bytes and its ETag, for a later `swap`."""

        def read() -> tuple[bytes, str]:
            if self._remote is not None:
                return self._remote.get_tagged(path)
            answer = obstore.get(self._store, path)
            return bytes(answer.bytes()), answer.meta["e_tag"] or ""

        data, etag = self._try(path, read)
        return data, etag

    def get_tail(self, path: str, size: int) -> bytes:
        """The last `size` bytes of the object."""

        def read() -> bytes:
            if self._folder is not None:
                return disk.read_tail(self._place(path), size)
            answer = obstore.get(self._store, path, options={"range": {"suffix": size}})
            return bytes(answer.bytes())

        return bytes(self._try(path, read))

    def get_ranges(self, path: str, starts: Sequence[int], ends: Sequence[int]) -> list[memoryview]:
        """Several byte ranges of one object, in one request where the store can.

        Ranges past the object's end come back short.
        """

        def read() -> list[memoryview]:
            if self._remote is not None:
                return self._remote.get_ranges(path, starts, ends)
            return disk.read_ranges(self._place(path), starts, ends)

        return list(self._try(path, read))

    def download(self, path: str, file: BinaryIO, size: int | None = None) -> str:
        """Write the first `size` bytes of an object (None: all) to the beginning of a file.

        Returns the object's ETag, "" where it has none.

        It may be an object that others wrote; see `medray.storage.store.remote.copy_to`.
        """
        etag: str = self._try(path, lambda: copy_to(self._store, path, file, size))
        return etag

    def put(self, path: str, data: Data) -> None:
        """Write an object whole, replacing what stood there; durable when this returns.

        Raises:
            RetryableError: the write failed; on a full disk the code is "storage-full".
        """

        def write() -> None:
            if self._remote is not None:
                self._remote.put(path, bytes(data))
            else:
                disk.write_file(self._place(path), data)

        self._try(path, write)

    def put_all(
        self, folder: str, files: Mapping[str, bytes], begun: Iterable["Pieces"] = ()
    ) -> None:
        """Write small objects, by name, into a folder that nobody reads yet, and settle those that
        came piece by piece; raises as `put`."""
        if self._folder is not None:
            settle = [one.settle for one in begun]
            self._try(folder, lambda: disk.write_files(self._place(folder), files, settle))
            return
        with ThreadPoolExecutor(self.profile.concurrency) as pool:
            list(pool.map(lambda name: self.put(f"{folder}/{name}", files[name]), files))

    def begin(self, path: str) -> "Pieces":
        """An object to be written piece by piece, where nobody reads yet; raises as `put`."""
        if self._folder is not None:
            return disk.NewFile(self._place(path), partial(self._try, path))
        return NewObject(partial(self.put, path))

    def sums_of(self, path: str, sizes: Sequence[int]) -> disk.Sums:
        """Sums of an object's pieces, and its hash; see `disk.sums`. Raises as `get`."""
        if self._folder is None:
            return disk.sums(io.BytesIO(self.get(path)), sizes)
        found: disk.Sums = self._try(path, lambda: disk.sums_of_file(self._place(path), sizes))
        return found

    def put_new(self, path: str, data: Data) -> bool:
        """Write an object only where there is none. False: somebody else's stands there."""
        token = new_token()

        def create() -> bool:
            if self._remote is not None:
                return self._remote.put_new(path, bytes(data), token)
            return disk.create_file(self._place(path), data)

        try:
            return bool(self._try(path, create))
        except AlreadyExistsError:
            return False

    def swap(self, path: str, data: bytes, etag: str | None) -> bool:
        """Replace an object only if its ETag is still `etag` (None: only if there is none).

        False says that ours does not stand there now. Where an answer of the store was lost, it may
        have stood there, until somebody replaced it.
        """
        if etag is None:
            return self.put_new(path, data)
        token = new_token()

        def replace() -> bool:
            if self._remote is not None:
                return self._remote.swap(path, data, token, etag)
            return self._swap_local(self._place(path), path, data, etag)

        return bool(self._try(path, replace))

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """Every object below `prefix`, in no particular order. A prefix is a folder."""
        if self._folder is not None:
            batches = listing.walk(self._root, prefix)
            while batch := self._try(prefix, lambda: next(batches, [])):
                yield from batch
            return
        for found in self._try(prefix, lambda: list(obstore.list(self._store, prefix or None))):
            for meta in found:
                modified = meta["last_modified"].timestamp()
                yield Entry(meta["path"], meta["size"], modified, meta["e_tag"] or "")

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
        if self._folder is not None:
            # 50,000 folders: 40 ms, and 1.2 s by obstore, which asks for the size of each.
            return sorted(self._try(prefix, lambda: disk.folders(self._place(prefix))))
        found = self._try(prefix, lambda: obstore.list_with_delimiter(self._store, prefix))
        return sorted(PurePosixPath(path).name for path in found["common_prefixes"])

    def count(self, prefix: str) -> int:
        """How many objects and folders lie directly below `prefix`, or a few more: on a disk, what
        is being written counts as well."""
        if self._folder is not None:
            return int(self._try(prefix, lambda: disk.count(self._place(prefix))))
        found = self._try(prefix, lambda: obstore.list_with_delimiter(self._store, prefix))
        return len(found["common_prefixes"]) + len(found["objects"])

    def exists(self, path: str) -> bool:
        """Whether the object is there.

        Raises:
            DataError: on a disk, a folder stands in its place (code "damaged-object").
        """
        try:
            self._try(path, lambda: obstore.head(self._store, path))
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> float:
        """When the object was written, by the store's clock, in seconds since the epoch.

        Raises:
            FileNotFoundError: there is none.
        """
        found = self._try(path, lambda: obstore.head(self._store, path))
        return float(found["last_modified"].timestamp())

    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects; those already gone are no error."""
        remote = self._remote
        if remote is not None:
            gone = list(paths)
            if gone:
                self._try(gone[0], lambda: remote.delete(gone))
            return
        for path in paths:
            try:
                self._try(path, self._place(path).unlink)
                self._prune(self._place(path))
            except FileNotFoundError:
                continue

    def _try(self, path: str, action: Callable[[], Any]) -> Any:
        """Do it; in a store that is no folder again and again, within the profile's budget."""
        began = time.monotonic()
        tries = reads = renewed = 0
        while True:
            try:
                return action()
            except (AlreadyExistsError, PreconditionError):
                raise
            except DataError:
                reads += 1
                if reads == READS:
                    raise
            except (FileNotFoundError, obstore.exceptions.BaseError, OSError) as error:
                if isinstance(error, FileNotFoundError) and not code_of(str(error)):
                    if self._folder is not None:
                        disk.refuse_folder(self._place(path), path)
                    raise
                fault = explain(error, f"{self.url}/{path}")
                if self._remote is None:
                    raise fault from error
                if fault.code == "credentials-expired" and not renewed:
                    renewed = 1
                    self._open()
                elif (
                    fault.code in LASTING
                    or is_exhausted(error)
                    or tries >= self.profile.retries
                    or time.monotonic() > began + self.profile.retry_s
                ):
                    raise fault from error
                tries += 1
            time.sleep(min(LONGEST_PAUSE_S, PAUSE_S * 2**tries) * random.uniform(0.5, 1.0))

    def _place(self, path: str) -> Path:
        return Path(f"{self._folder}/{path}")

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
