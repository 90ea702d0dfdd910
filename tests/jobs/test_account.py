"""What is accounted for beside samples: inputs passed over, datasets left empty, paths that options
name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from medray.cli import main
from medray.commands.progress import print_account
from medray.engine.units.operation import Unit
from medray.errors import DataError, PassedOver, SpecError
from medray.formats import FORMATS
from medray.jobs.run import run
from medray.report.collect import collect
from medray.steps.base.events import Event, StepResult, Tally
from medray.steps.base.sources import check_named
from medray.steps.ingest.operation import Ingest
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.versions import heads
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects


@pytest.fixture
def step(cohort: Path) -> dict[str, Any]:
    return {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "policy": {"error_budget": 0.15},
    }


def done(objects: Objects, step: dict[str, Any]) -> StepResult:
    return run(step, storage=objects, cluster="inline").steps[0]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two inputs turn out as copies when they are read; of one input only a part does."""
    load = Ingest.load

    def some(self: Ingest, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        if key in ("case_2", "case_3"):
            raise PassedOver("a copy of another file", code="copy", hint="keep one of them")
        if key == "case_4":
            yield Refusal(key, "copy", "a copy", sample="a page", kind="passed-over")
        yield from load(self, unit, key)

    monkeypatch.setattr(Ingest, "load", some)


@pytest.mark.usefixtures("copies")
def test_what_is_passed_over_has_a_column_and_costs_no_budget(
    objects: Objects, step: dict[str, Any]
) -> None:
    made = done(objects, step)
    # One of 7 inputs that were asked for is refused, and not one of 9.
    with pytest.raises(DataError) as caught:
        done(objects, {**step, "policy": {"error_budget": 0.14}, "output": "less"})
    assert "1 of 7 inputs were refused" in caught.value.message
    assert made.units == Tally(9, committed=6, skipped=0, quarantined=1, passed_over=2)
    assert (made.reasons, made.passed_over) == ({"no-label": 1}, {"copy": 2})
    dataset = open_dataset(objects, "heads")
    assert dataset.inputs.add_up
    assert verify_all(objects)[1] == []
    rows = [row for row in dataset.quarantine().to_pylist() if row["kind"] == "passed-over"]
    assert [(row["source"], row["hint"]) for row in rows] == [
        ("case_2", "keep one of them"),
        ("case_3", "keep one of them"),
        ("case_4", ""),
    ]
    assert rows[0]["path"] == "imagesTr/case_2.nii.gz"
    (shown,) = collect(objects, "page", [made.as_json()]).steps
    assert (shown.passed_over, shown.missing) == (2, 0)
    assert (made.samples_passed_over, made.samples_quarantined) == ({"copy": 1}, {})


def test_single_samples_of_inputs_that_are_committed_are_told_of(
    objects: Objects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "compounds.csv"
    source.write_text("smiles\nCCO\nC1CC\nc1ccccc1\nnone\n")
    step = {"kind": "ingest", "format": {"name": "smiles"}, "source": str(source)}
    told: list[Event] = []
    (made,) = run({**step, "output": "c"}, storage=objects, cluster="inline",
                  on_event=told.append).steps  # fmt: skip
    assert made.units == Tally(1, committed=1, skipped=0, quarantined=0)
    assert made.samples_quarantined == {"unreadable": 2}
    (unit,) = [event.fields for event in told if event.name == "unit"]
    assert (unit["rows"], unit["quarantined"], unit["samples_quarantined"]) == (2, 0, 2)
    assert open_dataset(objects, "c").manifest.refused.samples == 2
    assert heads(objects, "datasets")["c"].known["samples_quarantined"] == 2
    report = collect(objects, "page", [made.as_json()])
    assert report.verdict[:2] == ("warn", "Complete, with quarantine")
    assert "2 single samples are in quarantine" in report.verdict[2]
    print_account([made])
    assert "single samples quarantined in c: unreadable 2" in capsys.readouterr().out


def test_an_empty_dataset_is_never_published(
    objects: Objects, step: dict[str, Any], cohort: Path
) -> None:
    first = done(objects, {**step, "policy": {"error_budget": 1}})
    for path in cohort.glob("*Tr/*"):
        path.write_bytes(b"no NIfTI")
    with pytest.raises(DataError) as caught:
        done(objects, {**step, "policy": {"error_budget": 1}})
    assert (caught.value.code, caught.value.exit_status) == ("empty-dataset", 3)
    assert "nothing is left of 9 inputs" in caught.value.message
    assert open_dataset(objects, "heads").reference == first.output
    listed = CliRunner().invoke(main, ["quarantine", "heads", "--storage", objects.url])
    assert listed.exit_code == 0
    assert listed.stdout.count("quarantined") == 9
    assert listed.stdout.count("no-label") == 1
    before = CliRunner().invoke(main, ["quarantine", first.output, "--storage", objects.url])
    assert before.stdout.count("no-label") == 1


@pytest.mark.parametrize(
    ("name", "options", "path"),
    [
        ("dicom", {"labels": "masks"}, "masks"),
        ("dicom", {"labels": "/nowhere/at/all"}, "/nowhere/at/all"),
        ("nifti", {"masks": "labelsTs"}, "labelsTs"),
        ("nifti", {"images": ["imagesTr", "more"]}, "more"),
        ("image", {"layout": "masks"}, "images"),
        ("image", {"layout": "csv"}, "labels.csv"),
        ("fasta", {"alias_table": "aliases.tsv"}, "aliases.tsv"),
        ("bed", {"genome": "hg.fai"}, "hg.fai"),
        ("table", {"tables": {"x": "{part}.csv"}, "parts": {"tr": "train"}}, "tr.csv"),
        ("table", {"rows": "known.csv", "tables": {"x": "known.csv"}, "id": "id"}, "known.csv"),
        ("table", {"feature_names": {"features": "names.txt"}}, "names.txt"),
        ("bigwig", {"tracks": {"x": "x.bw"}}, "x.bw"),
        ("sequences", {"files": {"x.fa": "1"}}, "x.fa"),
    ],
)
def test_what_an_option_names_is_looked_for_first(
    name: str, options: dict[str, Any], path: str, cohort: Path, objects: Objects
) -> None:
    kind = FORMATS.get(name)
    with pytest.raises(SpecError) as caught:
        check_named(kind(kind.Options.model_validate(options)), str(cohort), objects)
    assert (caught.value.code, caught.value.about) == ("no-such-path", path)


def test_what_is_there_is_no_mistake(cohort: Path, objects: Objects) -> None:
    kind = FORMATS.get("nifti")
    options = {"images": ["imagesTr", "."], "masks": "labelsTr"}
    check_named(kind(kind.Options.model_validate(options)), str(cohort), objects)
