"""Which files make one matrix: of 10x's three belong together, others stand alone."""

import re
from collections.abc import Iterable

from medray.formats.files import File
from medray.storage.shards.records import Refusal

MTX = (".mtx", ".mtx.gz")
# What stands before `matrix`, `barcodes` and `features` is the sample's name where many samples lie
# in one folder, as in GEO: GSM1234_pool1_matrix.mtx.gz.
_MATRIX = re.compile(r"(.*?)(matrix)?\.mtx(?:\.gz)?", re.DOTALL)
_BESIDE = re.compile(r"(.*?)(barcodes|features|genes)\.(?:tsv|txt)(?:\.gz)?", re.DOTALL)
_NAMES = {"barcodes": "barcodes", "features": "features", "genes": "features"}


def matrices(files: Iterable[File]) -> tuple[dict[str, list[File]], list[Refusal]]:
    """Files that make a matrix, by its key; and names of cells that no matrix belongs to.

    A matrix goes with the barcodes and features of its own prefix, else with those that have none
    (STAR writes several matrices beside one pair). What is not there is not in the list: a whole
    one has matrix, barcodes, features.
    """
    beside: dict[tuple[str, str], dict[str, File]] = {}
    alone: list[File] = []
    tables: list[File] = []
    for file in files:
        name = file.name.lower()
        part = _BESIDE.fullmatch(name)
        if name.endswith(MTX):
            alone.append(file)
        elif part is not None:
            beside.setdefault((file.folder, part[1]), {}).setdefault(_NAMES[part[2]], file)
        else:
            tables.append(file)
    made: dict[str, list[File]] = {}
    taken: set[str] = set()
    for file in alone:
        found = _MATRIX.fullmatch(file.name.lower())
        prefix, plain = (found[1], found[2]) if found else ("", None)
        prefixes = [prefix, ""] if plain else [f"{prefix}{mark}" for mark in "_.-"] + [""]
        parts = [beside.get((file.folder, one), {}) for one in prefixes]
        members = [
            next((one[name] for one in parts if name in one), None)
            for name in ("barcodes", "features")
        ]
        made[file.path] = [file, *(one for one in members if one is not None)]
        taken |= {one.path for one in made[file.path]}
    refused = []
    for parts_of_one in beside.values():
        left = [one for one in parts_of_one.values() if one.path not in taken]
        if left and "barcodes" in parts_of_one and parts_of_one["barcodes"] in left:
            reason = (
                "names of cells, and no matrix of their prefix (<prefix>matrix.mtx) beside them"
            )
            key = parts_of_one["barcodes"].path
            refused.append(Refusal(key, "missing-file", reason, files=len(left)))
        else:
            tables += left
    made.update({file.path: [file] for file in tables})
    return dict(sorted(made.items())), refused
