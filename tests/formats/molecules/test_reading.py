"""What is made of one compound: its standard form, its texts, bits and descriptors."""

from typing import Any

import numpy as np
import pytest
from rdkit import Chem

from medray.errors import DataError
from medray.formats.molecules.parsed import Parsed
from medray.formats.molecules.reading import Reader
from medray.formats.molecules.standard import standard
from medray.formats.smiles import Smiles

PYRANTEL = "CN1CCCN=C1/C=C/c1cccs1"
PAMOATE = "O=C(O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O"


class Free:
    """Marks that stop nobody."""

    def begin(self, _row: int) -> bool:
        return True


def read(*texts: str, **options: Any) -> Parsed:
    asked = Smiles.Options.model_validate(options).model_dump()
    return Reader(asked).read(texts, Free())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parts", "expected", "changed"),
    [
        (f"{PAMOATE}.{PYRANTEL}", ["fragment"], PYRANTEL, ["fragment"]),
        ("[Na+].CC(=O)[O-]", ["fragment", "charge"], "CC(=O)O", ["fragment", "charge"]),
        ("CCN.Cl", ["fragment"], "CCN", ["fragment"]),
        ("CS(=O)(=O)O.CCN", ["fragment"], "CCN", ["fragment"]),
        ("[O-]C(=O)c1ccccc1", ["charge"], "O=C(O)c1ccccc1", ["charge"]),
        ("C[N+](C)(C)C", ["charge"], "C[N+](C)(C)C", []),
        ("[2H]C([2H])([2H])O", ["isotopes"], "CO", ["isotopes"]),
        ("C[C@H](N)O", ["stereo"], "CC(N)O", ["stereo"]),
        ("C[C@H](N)O", ["fragment", "charge"], "C[C@H](N)O", []),
        ("CC(=O)O.CCO", ["fragment"], "CC(=O)O", ["fragment"]),
    ],
)
def test_standard_forms(text: str, parts: list[Any], expected: str, changed: list[str]) -> None:
    made, found = standard(Chem.MolFromSmiles(text), parts)
    assert Chem.MolToSmiles(made) == Chem.MolToSmiles(Chem.MolFromSmiles(expected))
    assert found == changed
    again, nothing = standard(made, parts)
    assert (Chem.MolToSmiles(again), nothing) == (Chem.MolToSmiles(made), [])


def test_salts_without_an_organic_part_are_refused_and_the_row_says_what_changed() -> None:
    with pytest.raises(DataError) as caught:
        standard(Chem.MolFromSmiles("[Na+].[Cl-]"), ["fragment"])
    assert caught.value.code == "emptied"
    made = read("[Na+].[Cl-]", "CCN.Cl", "CCO", standardise=["fragment"])
    assert made.refused[0][0] == "emptied"
    assert made.columns["standardised"] == ["fragment", None]
    assert made.arrays["atoms"].lengths.tolist() == [3, 3]


def test_fingerprints_are_the_bits_that_are_on() -> None:
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    texts = ["CCO", "c1ccccc1C(=O)O", "C"]
    made = read(*texts, fingerprint={"radius": 3, "bits": 1024}).arrays["fingerprint"]
    parts = np.split(made.values, np.cumsum(made.lengths)[:-1])
    morgan = GetMorganGenerator(radius=3, fpSize=1024)
    for text, bits in zip(texts, parts, strict=True):
        assert tuple(bits) == tuple(morgan.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits())


def test_descriptors_are_rdkits_and_nan_where_it_has_none() -> None:
    from rdkit.Chem import Descriptors

    made = read("CCO", "[Na+].[Cl-]", descriptors=True).arrays["descriptors"]
    names = [name for name, _ in Descriptors.descList]
    assert made.lengths.tolist() == [len(names)] * 2
    ethanol, salt = made.values.reshape(2, -1)
    weight = names.index("MolWt")
    assert ethanol[weight] == pytest.approx(46.069, abs=0.01)
    assert np.isfinite(ethanol).mean() > 0.95
    assert not np.isinf(salt).any()


def test_keys_and_scaffolds_by_option() -> None:
    made = read("c1ccccc1CC", "CCO", inchikey=True, canonical=False)
    assert made.columns["inchikey"][1] == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    assert made.columns["scaffold"] == ["c1ccccc1", "CCO"]
    assert "canonical" not in made.columns


def test_what_passes_between_processes_is_the_same_and_can_be_cut() -> None:
    made = read("CCO", "", "c1ccccc1", "CC", standardise=["charge"])
    again = Parsed.decode(made.encode())
    assert (again.taken, again.columns, again.refused) == (
        made.taken,
        made.columns,
        made.refused,
    )
    for name, (values, lengths) in made.arrays.items():
        assert np.array_equal(again.arrays[name].values, values)
        assert np.array_equal(again.arrays[name].lengths, lengths)
    cut = again.until(3)
    assert (cut.taken, cut.columns["canonical"]) == ([0, 2], ["CCO", "c1ccccc1"])
    assert cut.arrays["atoms"].values.shape == (9, 7)
