"""Damage: what stands in storage is not what was committed there, and how to mend it."""

from medray.errors import DamageError


def damage(what: str, code: str, path: str, name: str = "") -> DamageError:
    """The error for a damaged object of a dataset or model.

    Args:
        what: is wrong with it.
        code: of the error.
        path: of the object, below the root: <room>/<name>/….
        name: of the dataset or model; empty: as the path says.
    """
    return DamageError(what, code=code, about=path, hint=way_out(name or path.split("/")[1]))


def way_out(name: str) -> str:
    """What mends a dataset or model."""
    return f"`medray repair {name}`, then run the job that makes it again"
