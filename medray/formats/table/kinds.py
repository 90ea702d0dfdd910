"""Which reader a file of a table has, by its name."""

from pathlib import Path

from medray.formats.table import arff, hdf5, parquet
from medray.formats.table.features import Known
from medray.formats.table.sheets import Sheet, Text, Transposed
from medray.formats.tabular import delimited

SUFFIXES = (*delimited.SUFFIXES, *parquet.SUFFIXES, *arff.SUFFIXES, *hdf5.SUFFIXES)


def grouped_by_name(path: str) -> bool:
    """Whether a file may hold several tables, by the names of groups."""
    return path.lower().endswith(hdf5.SUFFIXES)


def sheet(path: Path, known: Known, group: str, *, header: bool, transposed: bool) -> Sheet:
    """The reader of a file.

    Args:
        path: of it.
        known: what the options say of its columns.
        group: of a file that holds several tables.
        header: see Sheet.
        transposed: whether a line is a feature; of delimited text.
    """
    name = path.name.lower()
    if name.endswith(hdf5.SUFFIXES):
        return hdf5.Hdf5(path, known, group)
    if name.endswith(parquet.SUFFIXES):
        return parquet.Parquet(path, known, header=True)
    if name.endswith(arff.SUFFIXES):
        return arff.Arff(path, known, header=True)
    return (Transposed if transposed else Text)(path, known, header=header)
