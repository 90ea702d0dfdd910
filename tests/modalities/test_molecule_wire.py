"""SMILES of requests become what ingest makes of them, however they are written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rdkit import Chem

from medray.errors import DataError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.media import ARROW, JSON
from medray.modalities.molecule.plan import MoleculePredictOptions
from medray.modalities.molecule.wire import MoleculeWire
from medray.modalities.wire import Limits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects

LIMITS = Limits(decoded_bytes=2**20)
SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "F/C=C/F",
    "F/C=C\\F",
    "[Na+].[O-]C(=O)c1ccccc1",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "C1CC2CCC1CC2",
    "C#N",
    "[13CH4]",
    "O=[N+]([O-])c1ccc2[nH]ccc2c1",
    "C",
]
PLAN: dict[str, Any] = {"widths": {}, "reading": {}, "answers": "sample"}


def written(smiles: str, seed: int) -> str:
    """The same compound, its atoms in another order."""
    molecule = Chem.MolFromSmiles(smiles)
    order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
    return str(Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False))


def stream(smiles: list[str]) -> bytes:
    table = pa.table({"smiles": smiles})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


@pytest.mark.parametrize(
    ("model", "widths", "blend", "alike"),
    [
        ("message-passing", {"fingerprint": 512, "descriptors": 217}, [], 1),
        ("dmpnn", {"fingerprint": 512, "descriptors": 217}, [], 0),
        ("dmpnn", {}, ["ridge"], 0),  # which reads descriptors
    ],
)
def test_a_compound_is_answered_as_in_bulk_however_it_is_written(
    objects: Objects,
    tmp_path: Path,
    model: str,
    widths: dict[str, int],
    blend: list[str],
    alike: int,
) -> None:
    lines = [f"{smiles},{number % 3}" for number, smiles in enumerate(SMILES)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/some.csv").write_text("\n".join(["smiles,y", *lines]))
    form = {"name": "smiles", "targets": ["y"], "fingerprint": {"bits": 512}, "descriptors": True}
    network = {"name": model, "hidden": 16, "layers": 2, "beside": list(widths)}
    steps = [
        {"kind": "ingest", "format": form, "source": str(tmp_path / "raw"), "output": "some"},
        {
            "kind": "train", "data": "some", "select": {}, "validation": {}, "output": "net",
            "task": {"name": "regression", "target": "y"}, "model": network,
            "plan": {"blend": blend}, "train": {"epochs": 1, "batch_size": 4, "select": "last"},
        },
        {"kind": "predict", "model": "net", "data": "some", "output": "found"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    wanted = np.array(open_dataset(objects, "found").samples["predicted"])
    # Mirror images are told apart; E and Z, which bonds have, by whom bonds are read.
    assert len(set(wanted.round(6))) == len(SMILES) - alike
    net = load_trained(objects, "net")
    predictor = net.modality.predictor(net, Asking(MoleculePredictOptions()))
    wire = net.modality.wire(net.plan.model_dump(mode="json"))
    assert net.plan.widths == widths
    for seed in range(4):
        texts = [written(one, seed) for one in SMILES]
        some = [{"smiles": text, "sample_id": f"m{n}"} for n, text in enumerate(texts)]
        asked = wire.read(json.dumps(some).encode(), JSON, LIMITS)
        assert [one.id for one in asked.samples] == [f"m{n}" for n in range(len(SMILES))]
        answers = predictor.answers([predictor.prepare(InMemory(one), 1) for one in asked.samples])
        np.testing.assert_allclose(answers[:, 0], wanted, rtol=1e-5, atol=1e-5)
    assert some[0]["smiles"] != SMILES[0]


def test_one_or_many_in_json_and_in_arrow() -> None:
    wire = MoleculeWire(PLAN)
    one = wire.read(b'{"smiles": "CCO"}', JSON, LIMITS)
    assert not one.many
    assert one.samples[0].row == {"smiles": "CCO"}
    assert one.samples[0].arrays["atoms"][:, 0].tolist() == [6, 6, 8]
    many = wire.read(stream(["CCO", "CN"]), ARROW, LIMITS)
    assert many.many
    assert [len(sample.arrays["atoms"]) for sample in many.samples] == [3, 2]
    assert [sample.id for sample in many.samples] == ["0", "1"]
    assert wire.takes[JSON]["oneOf"][0]["required"] == ["smiles"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"smiles": "C1CC"}', "unreadable"),
        (b'[{"smiles": "C"}, {"smiles": ""}]', "no-molecule"),
        (b'{"smiles": 7}', "bad-json"),
        (b'{"smile": "C"}', "bad-json"),
        (b"[]", "bad-json"),
        (json.dumps({"smiles": "C" * 1001}).encode(), "too-long"),
        (json.dumps([{"smiles": "C" * 900}] * 20).encode(), "too-large"),
        (json.dumps([{"smiles": "C", "sample_id": "a"}] * 2).encode(), "repeated-id"),
    ],
)
def test_what_is_no_compound_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(DataError) as raised:
        MoleculeWire(PLAN).read(body, JSON, Limits(decoded_bytes=2**20))
    assert raised.value.code == code
    assert "C1CC" not in str(raised.value)
