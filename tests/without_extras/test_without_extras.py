"""What every job needs is there; what a field needs is asked for by the name of its extra."""

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bare = Callable[..., tuple[int, Any]]
JOB = """
kind: ingest
format: {{name: sequences, classes: [other, motif], files: {{other.fa: other, motif.fa: motif}}}}
source: {source}
output: reads
split: {{train: 3, val: 1, by: sequence, seed: 0}}
---
kind: train
data: reads
task: {{name: classification, classes: [other, motif]}}
model: {{name: seq_cnn, kernels: [5], filters: 4, dense: 4}}
select: {{split: train}}
output: net
train: {{epochs: 1, batch_size: 8}}
---
kind: predict
model: net
data: reads
select: {{}}
output: found
---
kind: evaluate
predictions: found
data: reads
output: scores
---
kind: export
data: found
format: {{name: table, file: csv}}
to: {target}
"""


def test_a_job_runs_from_files_to_files(bare: Bare, tmp_path: Path) -> None:
    source, target, draw = tmp_path / "raw", tmp_path / "out", random.Random(0)
    source.mkdir()
    for name, motif in (("other", ""), ("motif", "TATAAT")):
        reads = ["".join(draw.choices("ACGT", k=60 - len(motif))) + motif for _ in range(12)]
        lines = (f">{name}{number}\n{read}\n" for number, read in enumerate(reads))
        (source / f"{name}.fa").write_text("".join(lines))
    (tmp_path / "job.yaml").write_text(JOB.format(source=source, target=target))
    status, told = bare("run", "job.yaml", "--cluster", "inline", "--storage", "./store", "--json")
    assert status == 0, told
    assert [step["kind"] for step in told["steps"]] == [
        "ingest", "train", "predict", "evaluate", "export",
    ]  # fmt: skip
    (file,) = target.rglob("*.csv")
    with file.open() as lines:
        assert len(list(csv.DictReader(lines))) == 24


NEEDS = {
    "dicom": "imaging",
    "nifti": "imaging",
    "ome_zarr": "imaging",
    "bigwig": "genomics",
    "dicom_seg": "imaging",
    "annotated_vcf": "genomics",
}


def test_a_check_names_the_extra_of_each_format(bare: Bare, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    document = "kind: ingest\nformat: {{name: {0}}}\nsource: .\noutput: of-{1}\n"
    texts = [document.format(name, name.replace("_", "-")) for name in list(NEEDS)[:4]]
    export = "kind: export\ndata: of-dicom\nformat: {{name: {0}{1}}}\nto: out-{0}\n"
    texts += [export.format("dicom_seg", ""), export.format("annotated_vcf", ", source: .")]
    job.write_text("---\n".join(texts))
    status, told = bare("check", "job.yaml", "--storage", "./store", "--json")
    missing = {one["document"]: one for one in told["problems"] if one["code"] == "missing-extra"}
    assert status == 2
    assert [f"medray[{extra}]" in missing[at]["hint"] for at, extra in enumerate(NEEDS.values(), 1)]


@pytest.mark.parametrize(
    ("form", "files", "extra"),
    [
        ("{name: image, layout: plain}", {"a.tif": b"II*\0\x08\0\0\0"}, "imaging"),
        ("{name: expression}", {"a.h5ad": b"\x89HDF\r\n\x1a\n" + bytes(99)}, "genomics"),
    ],
)
def test_a_library_that_few_files_take_is_asked_for_and_no_file_is_blamed(
    bare: Bare, tmp_path: Path, form: str, files: dict[str, bytes], extra: str
) -> None:
    (tmp_path / "raw").mkdir()
    for name, data in files.items():
        (tmp_path / "raw" / name).write_bytes(data)
    (tmp_path / "job.yaml").write_text(f"kind: ingest\nformat: {form}\nsource: raw\noutput: d\n")
    status, told = bare("run", "job.yaml", "--cluster", "inline", "--storage", "./store")
    assert status == 2
    assert "missing-extra" in told
    assert f"medray[{extra}]" in told
    assert not list((tmp_path / "store").rglob("quarantine*"))


@pytest.mark.parametrize(("command", "extra"), [("demo", "imaging"), ("serve net", "serve")])
def test_a_command_names_its_extra(bare: Bare, command: str, extra: str) -> None:
    status, told = bare(*command.split(), "--storage", "./store")
    assert (status, "[missing-extra]" in told) == (2, True), told
    assert f"pip install 'medray[{extra}]'" in told
