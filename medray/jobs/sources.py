"""Folders with raw files, looked at before anything is planned over them."""

from pathlib import Path

from medray.errors import SpecError
from medray.formats.base import Source


def source_of(path: str) -> Source:
    """The source, if it is there and this process may look into it.

    Raises:
        SpecError: it isn't, or may not (code "no-such-source").
    """
    root = Path(path)
    try:
        if root.is_dir():
            next(root.iterdir(), None)
        else:
            root.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        raise SpecError(
            f"the source cannot be read ({type(error).__name__})",
            code="no-such-source",
            about=root.name,
            hint="give a folder or file that this user may read",
        ) from error
    return Source(root)
