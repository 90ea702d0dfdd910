"""Mutation effect on saturation editing of BRCA1 (Findlay et al. 2018), supervised, by exon.

The file has 3,893 SNVs at 1,326 positions in and around 13 exons, and no sequence: the reference is
rebuilt from its REF column, with N where no SNV stands, and windows are the house's own. Which SNVs
lose the gene's function (823, against the rest) is learnt by the job `brca1.yaml` beside this
script, twice: from the windows with REF and ALT alone, and from the base change, the consequence,
the amino acids and the conservation around it. Each exon is judged by the network that has learnt
from the twelve others, so no base is on both sides. CADD and phyloP are judged on the same SNVs;
CADD is no feature.

`quality.py` runs it with the others; alone it writes the table: `brca1.py TABLE.csv`.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from medray.formats.genomics.alphabet import decode, encode
from medray.steps.variants.windows import Alleles, Stretch, VariantWindows

SOURCE = "genomics/brca1_sge/findlay2018_brca1.xlsx"
WIDTH = 41  # bases of a window; the SNV is in its middle
AROUND = 10  # bases on either side whose conservation is a feature
COLUMNS = {
    "position (hg19)": "position",
    "reference": "ref",
    "alt": "alt",
    "experiment": "exon",  # each edits one exon with what is around it
    "func.class": "class",
    "consequence": "consequence",
    "aa_ref": "aa_ref",
    "aa_alt": "aa_alt",
    "CADD.score": "cadd",
    "phyloP (mammalian)": "phylop",
}


def rows_of(path: Path) -> dict[str, np.ndarray]:
    """The columns that are used, one value per SNV: numbers as float64 or int64, texts as str."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    _, _, head, *rows = book.worksheets[0].iter_rows(values_only=True)
    book.close()
    place = {name: head.index(name) for name in COLUMNS}
    return {
        ours: np.array([row[place[name]] for row in rows if row[place["reference"]]])
        for name, ours in COLUMNS.items()
    }


def windows_of(snvs: dict[str, np.ndarray], width: int) -> VariantWindows:
    """The windows around the SNVs, on the reference that the SNVs imply."""
    first = int(snvs["position"].min())
    codes = encode("N" * (int(snvs["position"].max()) - first + 1)).copy()
    codes[snvs["position"] - first] = encode("".join(snvs["ref"]))
    beyond = encode("N" * width)
    stretch = Stretch(np.concatenate([beyond, codes, beyond]), -width, len(codes))
    ref, alt = (Alleles.of(pa.array(snvs[name].tolist(), pa.string())) for name in ("ref", "alt"))
    return VariantWindows(stretch, snvs["position"] - first + 1, ref, alt, width)


def features_of(snvs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name → column of what is known without the assay, numbers: NaN where no SNV stands."""
    made: dict[str, np.ndarray] = {}
    change = np.char.add(np.char.add(snvs["ref"], ">"), snvs["alt"])
    classes = {"change": change} | {
        name: snvs[name] for name in ("consequence", "aa_ref", "aa_alt")
    }
    for name, values in classes.items():
        made |= {
            f"{name} {value}": (values == value).astype(np.int64) for value in np.unique(values)
        }
    known = dict(zip(snvs["position"].tolist(), snvs["phylop"].tolist(), strict=True))
    for offset in range(-AROUND, AROUND + 1):
        there = [known.get(at + offset, np.nan) for at in snvs["position"].tolist()]
        made[f"phylop {offset:+d}"] = np.array(there)
    return made


def table_of(snvs: dict[str, np.ndarray]) -> pa.Table:
    """A row for each SNV, as both halves of the job read it.

    Raises:
        RuntimeError: a window is not what the file says, or can't be made.
    """
    made = windows_of(snvs, WIDTH)
    if len(made.scored) != len(snvs["ref"]) or not made.ref_match.all():
        raise RuntimeError("REF contradicts the reference that the file implies")
    ref = [decode(window) for window in made.reference(slice(None))]
    names = zip(snvs["position"], snvs["ref"], snvs["alt"], strict=True)
    return pa.table(
        {
            "snv": [f"{position}-{old}-{new}" for position, old, new in names],
            "subject": snvs["exon"],
            "effect": np.where(snvs["class"] == "LOF", "LOF", "rest"),
            "ref_window": [ref[number] for number in made.reference_of],
            "alt_window": [decode(window) for window in made.alternative(slice(None))],
            **features_of(snvs),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="CSV to write")
    args = parser.parse_args()
    snvs = rows_of(Path(os.environ["MEDRAY_DATA"]) / SOURCE)
    pyarrow.csv.write_csv(table_of(snvs), args.table)


if __name__ == "__main__":
    main()
