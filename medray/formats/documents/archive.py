"""Members of a ZIP archive, read within bounds and never unpacked to a disk."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medray.errors import DataError

MEMBERS = 1_000_000
RATIO = 200  # of unpacked to packed bytes, beyond which it is no text
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive.

    Raises:
        DataError: it is none, or damaged (code "damaged-zip"), or has too many members
            ("too-many-members").
    """
    try:
        archive = zipfile.ZipFile(path)
    except (*_DAMAGE, OSError) as error:
        raise DataError("the archive can't be read", code="damaged-zip") from error
    with archive:
        if len(archive.filelist) > MEMBERS:
            raise DataError("the archive has too many members", code="too-many-members")
        yield archive


def member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The content of a member.

    Args:
        archive: that it is in.
        name: of it.
        most: bytes.

    Raises:
        DataError: it is larger ("too-long"), packed beyond belief ("compression-bomb"), damaged or
            locked ("damaged-zip").
    """
    try:
        about = archive.getinfo(name)
        if about.file_size > max(2**20, RATIO * about.compress_size):
            raise DataError("a member grows beyond belief", code="compression-bomb")
        with archive.open(about) as file:
            data = file.read(most + 1)
    except (*_DAMAGE, KeyError, OSError) as error:
        raise DataError("a member of the archive is damaged", code="damaged-zip") from error
    if len(data) > most:
        raise DataError(f"it has more than {most} bytes", code="too-long")
    return data
