"""Texts are looked at in processes of their own: what they are, and what a bad one costs."""

import sys
from pathlib import Path

import numpy as np
import pytest
import selfies
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.QED import qed

from medray.errors import SpecError
from medray.formats.molecules.options import MoleculeOptions
from medray.formats.molecules.reading import Reader as Ingest
from medray.modalities.notation import chemistry, looks
from medray.modalities.notation.chemistry import MEASURES
from medray.modalities.notation.looks import TOGETHER, look
from medray.modalities.notation.rewards import Qed, Similarity

sys.path.insert(0, str(Path(__file__).parent))  # a child looks where its parent does
TEXTS = ["OCC", None, "", "C1CC", "c1ccccc1O", "O=C(O)c1ccccc1OC(C)=O"]


def test_looks_are_as_rdkit_has_them() -> None:
    found = look(TEXTS, list(MEASURES), prints=True)
    assert found.canonical == ["CCO", None, None, None, "Oc1ccccc1", "CC(=O)Oc1ccccc1C(=O)O"]
    assert np.isnan(found.values[1:4]).all()
    assert [one is None for one in found.prints] == [False, True, True, True, False, False]
    for at in (0, 4, 5):
        mol = Chem.MolFromSmiles(TEXTS[at])
        row = dict(zip(MEASURES, found.values[at], strict=True))
        assert row["qed"] == qed(mol)
        assert row["tpsa"] == rdMolDescriptors.CalcTPSA(mol)
        assert row["heavy"] == mol.GetNumHeavyAtoms()
        print_ = chemistry.print_of(chemistry.bits(mol))
        assert found.prints[at] == print_
    assert look([], ["qed"]).values.shape == (0, 1)
    assert look([None, "C("], ["qed"], prints=True).canonical == [None, None]


@pytest.mark.parametrize("place", [0, 3, TOGETHER, TOGETHER + 2])
def test_a_text_that_hangs_or_kills_is_no_molecule_and_no_other_is_lost(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "READER", "faulty_looks:Faulty")
    monkeypatch.setattr(looks, "ROW_S", 0.8)
    texts = ["CCO"] * (TOGETHER + 5)
    texts[place], texts[place + 1] = "hang", "die"
    found = look(texts, ["heavy"])
    lost = [at for at, one in enumerate(found.canonical) if one is None]
    assert lost == [place, place + 1]
    assert np.isnan(found.values[lost]).all()
    assert (np.delete(found.values, lost) == 3).all()


def test_selfies_are_read_and_made() -> None:
    forms = ["CCO", "Oc1ccccc1", "CC(=O)Oc1ccccc1C(=O)O"]
    told = [selfies.encoder(form) for form in forms]
    assert look([*told, "[Nonsense]", None], notation="selfies").canonical == [*forms, None, None]
    options = MoleculeOptions(selfies=True, canonical=False).model_dump()

    class Every:
        def begin(self, row: int) -> bool:
            return True

    # RDKit writes a nitro group with charges; of iodine with five bonds there are none.
    made = Ingest(options).read(["OCC", "CN(=O)=O", "CI(=O)=O"], Every())  # type: ignore[arg-type]
    assert made.columns["selfies"][0] == "[C][C][O]"
    assert made.taken == [0, 1, 2]
    assert made.columns["selfies"][2] is None


def test_rewards_are_between_nothing_and_one() -> None:
    like = Similarity(to="Oc1ccccc1")
    like.ready()
    found = look(TEXTS, ["qed"], prints=True)
    assert like.of(found)[4] == 1
    assert 0 < like.of(found)[5] < 1
    assert like.of(found)[[1, 2, 3]].tolist() == [0, 0, 0]
    assert Qed().of(found)[0] == qed(Chem.MolFromSmiles("CCO"))
    with pytest.raises(SpecError) as told:
        Similarity(to="C(").ready()
    assert told.value.code == "no-molecule"
