"""Libraries that one field of work needs, and the extra of medray's package that brings each.

`pip install medray` has what every job needs; `pip install 'medray[imaging]'` and its like have the
rest. What pyproject.toml lists there stands here by the name that it is imported by.
"""

import importlib.util

from medray.errors import SpecError

EXTRAS = {
    "captum": ("genomics",),
    "fastapi": ("serve",),
    "h5py": ("genomics", "records"),
    "hdf5plugin": ("hdf5",),
    "highdicom": ("imaging",),
    "imagecodecs": ("imaging",),
    "jpeg_ls": ("imaging",),
    "mlflow": ("mlflow",),
    "nibabel": ("imaging",),
    "openjpeg": ("imaging",),
    "orjson": ("records",),
    "pybigtools": ("genomics",),
    "pydicom": ("imaging",),
    "pylibjpeg": ("imaging",),
    "pysam": ("genomics",),
    "rdkit": ("chem",),
    "selfies": ("chem",),
    "soundfile": ("signals",),
    "starlette": ("serve",),
    "tifffile": ("imaging",),
    "uvicorn": ("serve",),
    "vcztools": ("genomics",),
    "zarr": ("genomics", "imaging"),
}


def lacking(error: ModuleNotFoundError, what: str = "") -> SpecError:
    """What to raise where an import failed: no input is to blame for it.

    Args:
        error: of the import.
        what: needs the library.
    """
    return _missing(_top(error), what)


def is_extra(error: ModuleNotFoundError) -> bool:
    """Whether what could not be imported is of an extra, and not a module that is missing here."""
    return _top(error) in EXTRAS


def need(*libraries: str, what: str = "") -> None:
    """Look for libraries without importing them.

    Args:
        libraries: by the names that they are imported by.
        what: needs them.

    Raises:
        SpecError: one is not installed (code "missing-extra"); the hint says what to install.
    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise _missing(library, what)


def _missing(library: str, what: str) -> SpecError:
    extras = EXTRAS.get(library, ())
    commands = " or ".join(f"pip install 'medray[{extra}]'" for extra in extras)
    return SpecError(
        f"the library {library!r} is not installed",
        code="missing-extra",
        about=what,
        hint=commands or "install it",
    )


def _top(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]
