"""What texts say stands in shards of documents and nowhere else: no page, log, error, model."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from medray.cli import main

CANARY = "Zqcanaryqz"
KEYED = {"key_env": "MEDRAY_DEID_KEY"}


def command(*arguments: str) -> str:
    """What a command prints, and logs."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout + result.stderr


def sentences(split: str, count: int) -> str:
    """Of which each names somebody once, one breaks its scheme, and every other has an entity."""
    made = [f"{CANARY}{split}x\tO\nBad\tI-DRUG\n"]
    for number in range(count):
        tag = "B-DRUG" if number % 2 else "O"
        word = "abmycin" if number % 2 else "water"
        made.append(f"{CANARY}{split}{chr(97 + number)}\tO\ntook\tO\n{word}\t{tag}\n")
    return "\n".join(made) + "\n"


def holds(path: Path) -> bool:
    """Whether a file has the canary in whatever letters, packed or not."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        data += repr(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
    return CANARY.lower().encode() in data.lower()


@pytest.mark.parametrize("keyed", [True, False])
def test_a_whole_run_says_nothing(
    keyed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, split, count in (("train", "a", 12), ("val", "b", 6), ("test", "c", 6)):
        (raw / f"{name}.tsv").write_text(sentences(split, count))
    # Under the site's list the gate takes the canaries out; else they are in shards of documents.
    people = [f"{CANARY}{split}{chr(97 + n)}" for split in "abc" for n in range(26)]
    (tmp_path / "people").write_text("\n".join(people))
    phi = {**KEYED, "names": str(tmp_path / "people")} if keyed else {"method": "none"}
    splits = {f"{name}.tsv": name for name in ("train", "val", "test")}
    steps = [
        {
            "kind": "ingest", "source": str(raw), "output": "texts",
            "format": {"name": "conll", "splits": splits, "phi": phi},
            "policy": {"error_budget": 0.5},
        },
        {
            "kind": "train", "data": "texts", "output": "net",
            "task": {"name": "ner", "types": ["DRUG"]},
            "model": {"name": "bilstm-crf", "hidden": 4},
            "train": {"epochs": 1, "batch_size": 4, "threads": 1},
        },
        {
            "kind": "predict", "model": "net", "data": "texts", "select": {"split": "test"},
            "output": "found",
        },
        {
            "kind": "evaluate", "predictions": "found", "data": "texts", "output": "scores",
            "bootstrap": 10,
        },
    ]  # fmt: skip
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump_all(steps))
    root = tmp_path / "root"
    where = ("--storage", str(root))
    said = command("--debug", "run", str(job), "--cluster", "inline", *where)
    for told in (("quarantine", "texts", "--json"), ("show", "texts"), ("show", "net"), ("runs",)):
        said += command(*told, *where)
    assert "bad-tag" in said
    assert CANARY.lower() not in said.lower()
    found = [path.relative_to(root) for path in root.rglob("*") if path.is_file() and holds(path)]
    kept = [
        path
        for path in found
        if path.parts[:2] not in (("datasets", "texts"), ("datasets", "found"))
    ]
    assert kept == []
    assert any("shards" in path.parts for path in found) == (not keyed)
    assert (root / "reports").is_dir()
    page = next((root / "reports").rglob("report.html")).read_text()
    assert "Mistakes" in page
