"""Every registered format keeps the contract: counted, confined, repeatable, robust, silent."""

import json
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from medray.errors import DataError, MedrayError, SpecError
from medray.formats import FORMATS
from medray.formats.base import Format, Found, Input, Source
from medray.storage.shards.holds import Holds
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import format_damage as damage  # noqa: E402
import format_examples as examples  # noqa: E402

from tests.stored import found  # noqa: E402

READABLE, WRITABLE = sorted(examples.SOURCES), sorted(examples.WRITTEN)
MUTATIONS = 200
DRILLED = ("bigwig", "brat", "document_reference", "edf", "ehr", "fhir", "meds", "wfdb")


def made(name: str, root: Path) -> tuple[Format, Source]:
    root.mkdir(parents=True, exist_ok=True)
    kind = FORMATS.get(name)
    return kind(kind.Options.model_validate(examples.SOURCES[name](root))), Source(root)


def items(plan: Found) -> list[Input]:
    return [item for group in plan.groups for item in group]


def samples(form: Format, source: Source) -> list[Sample]:
    read = (one for item in items(form.plan(source)) for one in form.read(source, item))
    return [single for one in read if isinstance(one, Sample) for single in singles(one)]


def singles(sample: Sample) -> Iterator[Sample]:
    """The samples of an item: itself, or the rows of a table."""
    return sample.each() if isinstance(sample, Rows) else iter([sample])


def test_every_format_has_an_example() -> None:
    shipped = {name for name in FORMATS.names() if name in {*READABLE, *WRITABLE, *examples.JOINED}}
    assert shipped == set(FORMATS.names())


@pytest.mark.parametrize("name", FORMATS.names())
def test_options_are_strict_and_the_name_is_the_registrys(name: str) -> None:
    kind = FORMATS.get(name)
    assert kind.name == name
    with pytest.raises(ValidationError):
        kind.Options.model_validate({"no_such_option": 1})
    with pytest.raises(ValidationError):
        kind.Options().x = 1  # type: ignore[attr-defined]
    assert kind.Options.model_validate_json(kind.Options().model_dump_json()) == kind.Options()


@pytest.mark.parametrize("name", READABLE)
def test_samples_hold_what_their_format_says_before(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    held, found = form.holds(), samples(form, source)
    assert found
    for sample in found:
        assert held.arrays is None or set(sample.arrays) <= held.arrays
        assert held.columns is None or set(sample.row) <= held.columns
        assert not held.lacks & set(sample.row)
        if held.axes is not None:
            assert np.ndim(sample.arrays["image"]) == held.axes + 1


@pytest.mark.parametrize("name", READABLE)
def test_plans_are_repeatable_and_travel(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    plan = form.plan(source)
    assert asdict(form.plan(source)) == asdict(plan)
    assert items(plan)
    assert not plan.refused
    keys = [item.key for item in items(plan)]
    assert len(set(keys)) == len(keys)
    for item in items(plan):
        assert json.loads(json.dumps(item.extra)) == item.extra
        assert not any(Path(path).is_absolute() for path in item.paths)
    again = pickle.loads(pickle.dumps(form))
    assert [one.id for one in samples(again, source)] == [one.id for one in samples(form, source)]


@pytest.mark.parametrize("name", READABLE)
def test_fingerprints_follow_the_files(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    planned = items(form.plan(source))
    before = {item.key: item.fingerprint for item in planned}
    path = next(p for p in sorted(source.root.rglob("*"), reverse=True) if p.is_file())
    path.write_bytes(path.read_bytes() + b"\n")
    after = {item.key: item.fingerprint for item in items(form.plan(source))}
    changed = {key for key in before if before[key] != after.get(key)}
    below = path.relative_to(source.root).as_posix()
    touched = {
        item.key
        for item in planned
        for one in form.files(item)  # a folder stands for all that is in it
        if below == one or below.startswith(f"{one}/")
    }
    assert changed == touched != set()


@pytest.mark.parametrize("name", READABLE)
def test_samples_have_ids_of_their_own(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    found = samples(form, source)
    assert len({one.id for one in found}) == len(found) > 0


@pytest.mark.parametrize("name", examples.IMAGES)
def test_images_keep_the_conventions(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    found = samples(form, source)
    for one in found:
        assert one.row["subject"]
        if "image" not in one.arrays:
            continue
        image, label = one.arrays["image"], one.arrays.get("label")
        spatial = len(one.row["spacing_mm"])
        assert image.ndim == spatial + 1
        assert image.flags.c_contiguous
        assert image.dtype.isnative
        assert one.row["has_label"] is (label is not None)
        if label is not None:
            assert label.shape == image.shape[1:]
            assert label.dtype.kind == "u"
            assert sum(one.row["label_voxels"]) == label.size
        if "affine" in one.row:
            steps = np.linalg.norm(np.reshape(one.row["affine"], (4, 4))[:3, :3], axis=0)
            assert one.row["spacing_mm"] == pytest.approx(steps[::-1].tolist())
        assert one.row["image_mean"] == pytest.approx(float(image.mean()))


@pytest.mark.parametrize("name", READABLE)
def test_samples_are_repeatable_and_shards_hold_them(
    name: str, tmp_path: Path, objects: Objects
) -> None:
    form, source = made(name, tmp_path / "source")
    records = []
    for attempt in ("one", "two"):
        writer = ShardWriter(objects, attempt, {**form.arrays(), **form.plan(source).arrays})
        for one in samples(form, source):
            writer.add(one)
        records.append(writer.finish())
    assert records[0].content == records[1].content
    for row, one in enumerate(samples(form, source)):
        back = Shard(objects, found(objects, "one")).sample(row)
        assert back.id == one.id
        for array, values in one.arrays.items():
            np.testing.assert_array_equal(back.arrays[array], values)


@pytest.mark.parametrize("name", READABLE)
def test_sources_of_something_else(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    with pytest.raises(SpecError):
        form.plan(Source(tmp_path / "none"))
    noise = random.Random(0).randbytes(3000)
    for path in source.root.rglob("*"):
        if path.is_file():
            path.write_bytes(noise)
    taken, refused = outcome(form, source, tmp_path)
    assert not taken
    assert refused


@pytest.mark.parametrize("name", READABLE)
def test_inputs_that_vanish(name: str, tmp_path: Path) -> None:
    form, source = made(name, tmp_path / "source")
    (first, *_) = items(form.plan(source))
    shutil.rmtree(source.root)
    source.root.mkdir()
    with pytest.raises(DataError) as caught:
        list(form.read(source, first))
    assert str(tmp_path) not in str(caught.value)


def outcome(form: Format, source: Source, secret: Path) -> tuple[list[Sample], list[str]]:
    """Samples, and the codes of all refusals; whatever is no MedrayError fails the test."""
    taken, codes = [], []

    def note(error: MedrayError) -> None:
        assert error.code
        assert str(secret) not in str(error)
        codes.append(error.code)

    try:
        plan = form.plan(source)
    except (SpecError, DataError) as error:
        note(error)
        return taken, codes
    codes += [one.code for one in plan.refused]
    for item in items(plan):
        try:
            for one in form.read(source, item):
                if isinstance(one, Refusal):
                    codes.append(one.code)
                else:
                    taken.extend(singles(one))
        except DataError as error:
            note(error)
    return taken, codes


def held(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most since `clear_refs` was told 5."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024


def mutate(name: str, root: Path, count: int, reach: int = 2048, files: str = "*") -> None:
    form, source = made(name, root / "source")
    whole = len(samples(form, source))
    counts = {"read": 0, "refused": 0}
    slowest = 0.0
    Path("/proc/self/clear_refs").write_text("5")
    before = held("VmRSS")
    for seed in range(count):
        path, original = damage.strike(source.root, seed, reach, files)
        started = time.perf_counter()
        taken, codes = outcome(form, source, root)
        slowest = max(slowest, time.perf_counter() - started)
        if name not in examples.UNCOUNTED:
            # A letter of a contig's name in one of two bigWigs makes a contig more.
            kept = len(taken) >= whole if name == "bigwig" else len(taken) == whole
            assert kept or codes, f"seed {seed}: an input was lost without a word"
        counts["refused" if codes else "read"] += 1
        path.write_bytes(original)
    assert counts["refused"] > count / 10
    assert slowest < 5
    assert held("VmHWM") - before < 512 * 2**20


@pytest.mark.parametrize("name", READABLE)
def test_mutated_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    mutate(name, tmp_path, MUTATIONS)


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "files"),
    [*((name, "*") for name in (*examples.UNCOUNTED, *DRILLED)), ("wfdb", "*.atr")],
)
def test_five_thousand_mutations(name: str, files: str, tmp_path: Path) -> None:
    mutate(name, tmp_path, 5000, reach=2**20, files=files)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_five_thousand_mutated_nifti_headers(tmp_path: Path) -> None:
    examples.nifti(tmp_path)
    done = subprocess.run(
        [sys.executable, str(HERE / "format_damage.py"), str(tmp_path), "5000"],
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["read"] + report["refused"] == 5000
    assert report["refused"] > 1000
    assert report["slowest_s"] < 5
    assert report["rss_bytes"] < 512 * 2**20


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def write(name: str, target: Path, sample_id: str = "case", **options: Any) -> Iterator[Path]:
    kind = FORMATS.get(name)
    form = kind(kind.Options.model_validate(options))
    sample = examples.WRITTEN[name](sample_id)
    wanted = form.takes(frozenset(sample.arrays))
    arrays = {key: value for key, value in sample.arrays.items() if key in wanted}
    target.mkdir(exist_ok=True)
    return form.write([Sample(sample.id, sample.row, arrays, sample.layout)], target)


@pytest.mark.parametrize("name", WRITABLE)
def test_files_are_repeatable_and_replaced_whole(name: str, tmp_path: Path) -> None:
    (first,) = write(name, tmp_path / "one")
    (second,) = write(name, tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert list(write(name, tmp_path / "one")) == [first]
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert [path.name for path in (tmp_path / "two").iterdir()] == [second.name]


@pytest.mark.parametrize("name", [name for name in WRITABLE if name not in ("expression", "meds")])
def test_ids_never_lead_out_of_the_target(name: str, tmp_path: Path) -> None:
    for sample_id in ("../out", "a/b", "/etc/x", ".hidden"):
        with pytest.raises(DataError, match="unsafe-name"):
            list(write(name, tmp_path / "to", sample_id))
    assert not tree(tmp_path)


@pytest.mark.parametrize("name", sorted({*FORMATS.names()} - {*READABLE}))
def test_write_only_formats_say_so(name: str, tmp_path: Path) -> None:
    kind = FORMATS.get(name)
    with pytest.raises(SpecError, match="write-only-format"):
        kind(kind.Options()).plan(Source(tmp_path))


@pytest.mark.parametrize("name", WRITABLE)
def test_what_is_written_is_what_the_format_needs(name: str) -> None:
    kind, sample = FORMATS.get(name), examples.WRITTEN[name]("a")
    form = kind(kind.Options())
    assert kind.writes()
    form.needs().check(Holds(frozenset(sample.arrays), frozenset(sample.row)))
    with pytest.raises(SpecError):
        form.needs().check(Holds(frozenset({"nothing"}), frozenset()))


@pytest.mark.parametrize("name", sorted({*FORMATS.names()} - {*WRITABLE}))
def test_read_only_formats_say_so(name: str, tmp_path: Path) -> None:
    kind = FORMATS.get(name)
    with pytest.raises(SpecError, match="read-only-format"):
        list(kind(kind.Options()).write([examples.written()], tmp_path))
    assert kind.writes() == (name in examples.JOINED)
