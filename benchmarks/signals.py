"""Signals: decoded, ingested, and read again window by window, each beside what it competes with.

`decode` reads the EDF and BDF files of MEDRAY_DATA as ingest does, to digital values in memory,
beside a loop over pyedflib's `readSignal(…, digital=True)`; their data records are repeated until a
file has 16 MB, as half an hour to a night has. And WFDB records, beside a loop over wfdb's
`rdrecord(…, physical=False, return_res=16)`; with annotations, beside one that calls `rdann` too.
`ingest` brings `--records` of WFDB (MIT-BIH's, again and again, each of half an hour `--times`
times) to committed shards by two processes of the engine's worker, beside that loop in one process,
which only reads; on the clock, and then by seconds of the processor, which two workers spend no
less of than one. `windows` draws windows of ten seconds at random from recordings in a shard,
beside the same from a numpy memmap of int16, (channel, time) as recorders' exports have it: batches
of `--batch` from one recording, as a loader that shuffles draws them. `batches` are a training's,
from stored windows of ten seconds of which memory holds none, beside a memmap of these windows;
both are scaled. `store` is all that is stored of a night of mixed rates, rows and metadata
included, by the bytes of its EDF. All times but that of `ingest` are of the processor: other work
on the machine lengthens neither.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import interleave, ratio
from workers import Crew, Done, crew

from medray.data.order import Order
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.signal.context import physical
from medray.jobs.run import run
from medray.modalities.signal.cases import SignalCases
from medray.modalities.signal.inputs import Signals, scaled, steps_of
from medray.modalities.signal.loader import SignalLoader, tree
from medray.modalities.signal.plan import SignalPlan
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

OPEN = {"deidentify": {"method": "none"}}
LENGTHENED = {**OPEN, "times": "header"}  # their records tell the times of those they repeat
LONG = 16 * 10**6
NIGHT = "short_psg.edf"
RECORDS = ("100", "106", "119", "200", "203", "208")
NONE = {**OPEN, "annotators": []}


def cpu(work: Callable[[], object]) -> Callable[[], float]:
    """Processor seconds of one call."""

    def timed() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return timed


def longer(data: bytes) -> bytes:
    """A file of EDF whose data records come again and again; one without samples as it is."""
    head = 256 * (1 + int(data[252:256]))
    if float(data[244:252]) == 0:
        return data
    times = max(1, LONG // (len(data) - head))
    plain = data[:192] + b" " * 44 + b"%-8d" % (times * int(data[236:244])) + data[244:head]
    return plain + times * data[head:]


def recordings(
    name: str, root: Path, options: dict[str, Any] = OPEN
) -> tuple[dict[str, Any], list[Sample]]:
    """What a format makes of all that lies below a folder, and how its arrays are declared."""
    kind = FORMATS.get(name)
    form, source = kind(kind.Options.model_validate(options)), Source(root)
    plan = form.plan(source)
    read = (one for group in plan.groups for item in group for one in form.read(source, item))
    return dict(plan.arrays), [one for one in read if isinstance(one, Sample)]


def decode(root: Path, rounds: int) -> None:
    """Files to digital values in memory."""
    try:
        import pyedflib
    except ModuleNotFoundError:
        print("pyedflib is not installed: decoding has nothing to be measured by")
        return
    paths = sorted(root.iterdir())

    def ours() -> None:
        recordings("edf", root, LENGTHENED)

    def theirs() -> None:
        for path in paths:
            file = pyedflib.EdfReader(str(path))
            for signal in range(file.signals_in_file):
                file.readSignal(signal, digital=True)
            file.close()

    ratio(interleave({"medray": cpu(ours), "pyedflib": cpu(theirs)}, rounds), "medray", "pyedflib")


def again(root: Path, to: Path, count: int, times: int = 1) -> None:
    """MIT-BIH's records at hand, one after the other and again, until there are `count`; the signal
    of each is half an hour, so many times."""
    for number in range(count):
        name = RECORDS[number % len(RECORDS)]
        folder = to / f"{number // len(RECORDS):03d}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / f"{name}.atr", folder)
        header = (root / f"{name}.hea").read_text()
        (folder / f"{name}.hea").write_text(_times(header, times))
        with (folder / f"{name}.dat").open("wb") as file:
            for _ in range(times):
                file.write((root / f"{name}.dat").read_bytes())


def _times(header: str, times: int) -> str:
    """The header of a record whose signals come so many times."""
    (record, signals, rate, length), *lines = (line.split() for line in header.splitlines())
    made = [f"{record} {signals} {rate} {times * int(length)}"]
    for at, line in enumerate(lines):
        if at < int(signals):
            line[6] = str((times * int(line[6]) + 2**15) % 2**16 - 2**15)  # the checksum
        made.append(" ".join(line))
    return "\n".join(made) + "\n"


def loop(root: Path, *, annotations: bool = False) -> list[Any]:
    """What wfdb reads of all records below a folder."""
    import wfdb

    found = []
    for path in sorted(root.rglob("*.hea")):
        name = str(path.with_suffix(""))
        found.append(wfdb.rdrecord(name, physical=False, return_res=16).d_signal[-1].tolist())
        if annotations:
            found[-1] = wfdb.rdann(name, "atr").sample.tolist()
    return found


def decode_wfdb(root: Path, rounds: int) -> None:
    """WFDB records to digital values in memory, and with their annotations."""
    with tempfile.TemporaryDirectory() as folder:
        again(root, Path(folder), 12)
        for options, annotations in ((NONE, False), (OPEN, True)):
            _, samples = recordings("wfdb", Path(folder), options)
            ours = [one.arrays["signal_360"][:, -1].tolist() for one in samples]  # type: ignore[index]
            if annotations:
                ours = [[note["sample"] for note in one.row["annotations"]] for one in samples]
            if ours != loop(Path(folder), annotations=annotations):
                raise SystemExit("medray and wfdb read something else")
            name = "wfdb's rdrecord" + " and rdann" * annotations

            def read(options: dict[str, Any] = options) -> None:
                recordings("wfdb", Path(folder), options)

            def theirs(annotations: bool = annotations) -> None:
                loop(Path(folder), annotations=annotations)

            ratio(interleave({"medray": cpu(read), name: cpu(theirs)}, rounds), "medray", name)


def ingest(root: Path, rounds: int, records: int, times: int) -> None:
    """WFDB records to committed shards by two workers."""
    with tempfile.TemporaryDirectory() as folder, crew() as workers:
        source = Path(folder)
        again(root, source, records, times)
        check(source, workers)
        for options, told in ((NONE, "signals"), (OPEN, "signals and annotations")):

            def done(options: dict[str, Any] = options) -> Done:
                with tempfile.TemporaryDirectory() as store:
                    return workers.ingest("wfdb", options, source, Objects(store))

            def theirs() -> float:
                started = time.perf_counter()
                loop(source)
                return time.perf_counter() - started

            names = {told: lambda: done().seconds, "rdrecord": theirs}
            ratio(interleave(names, rounds), told, "rdrecord")
            names = {
                f"{told}, processor's": lambda: done().cpu_s,
                "rdrecord": cpu(lambda: loop(source)),
            }
            ratio(interleave(names, rounds), f"{told}, processor's", "rdrecord")


def check(source: Path, workers: Crew) -> None:
    """Hold what is stored of each record against what wfdb reads."""
    import wfdb

    with tempfile.TemporaryDirectory() as store:
        objects = Objects(store)
        done = workers.ingest("wfdb", OPEN, source, objects)
        found = {}
        for pinned in done.commits.pinned():
            shard = Shard(objects, pinned)
            for row, one in enumerate(shard.table.select(["sample_id", "annotations"]).to_pylist()):
                samples = [note["sample"] for note in one["annotations"]]
                found[one["sample_id"]] = shard.array(row, "signal_360")[...], samples
        for path in source.rglob("*.hea"):
            name = str(path.with_suffix(""))
            values, samples = found.pop(f"{path.parent.name}_{path.stem}")
            wanted = wfdb.rdrecord(name, physical=False, return_res=16).d_signal
            np.testing.assert_array_equal(values, wanted.T)
            np.testing.assert_array_equal(samples, wfdb.rdann(name, "atr").sample)
        if found:
            raise SystemExit(f"nobody asked for {sorted(found)}")


def shard_of(
    objects: Objects, path: str, arrays: dict[str, Any], samples: list[Sample]
) -> tuple[Shard, int]:
    """All of them in one shard, and its bytes."""
    writer = ShardWriter(objects, path, arrays)
    for sample in samples:
        writer.add(sample)
    record = writer.finish()
    return Shard(objects, record.pinned), record.bytes


def windows(root: Path, rounds: int, batch: int) -> None:
    """Batches of ten seconds, from each record in turn."""
    arrays, samples = recordings("wfdb", root)
    samples = [one for one in samples if set(one.arrays) == {"signal_360"}][:4]
    length, rng = 3600, np.random.default_rng(0)
    whole = [as_array(one.arrays["signal_360"]) for one in samples]
    with tempfile.TemporaryDirectory() as folder:
        _, again = recordings("wfdb", root)
        by_id = {one.id: one for one in again}
        kept = [by_id[one.id] for one in samples]
        shard, _ = shard_of(Objects(folder), "one", arrays, kept)
        readers = [shard.array(row, "signal_360") for row in range(len(samples))]
        maps = []
        for number, values in enumerate(whole):
            path = Path(folder) / f"{number}.npy"
            np.save(path, values)
            maps.append(np.load(path, mmap_mode="r"))
        draws = [rng.integers(0, one.shape[1] - length, batch) for one in whole]

        def ours() -> None:
            for reader, starts in zip(readers, draws, strict=True):
                reader.windows(starts, length)

        def theirs() -> None:
            for values, starts in zip(maps, draws, strict=True):
                np.stack([values[:, start : start + length] for start in starts.tolist()])

        for reader, values, starts in zip(readers, maps, draws, strict=True):
            wanted = [values[:, start : start + length] for start in starts.tolist()]
            np.testing.assert_array_equal(reader.windows(starts, length), np.stack(wanted))
        names = {f"windows by {batch}": cpu(ours), "memmap": cpu(theirs)}
        ratio(interleave(names, rounds), f"windows by {batch}", "memmap")


def batches(root: Path, rounds: int, sizes: list[int]) -> None:
    """A training's batches of stored windows, none of which is held, beside those of a memmap."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as place:
        again(root, Path(folder), len(RECORDS))
        cut = {"name": "windows", "length_s": 10, "step_s": 1, "leads": [["MLII", "II"]]}
        steps = [
            {"kind": "ingest", "format": {"name": "wfdb", **OPEN}, "source": folder, "output": "a"},
            {"kind": "transform", "data": "a", "operation": cut, "output": "b"},
        ]
        run(steps, storage=Objects(place), cluster="inline")
        dataset = open_dataset(Objects(place), "b")
        first, count = dataset.sample(0), len(dataset)
        plan = SignalPlan(answers="sample", classes=(), batch_size=1, frequencies=(), samples=count,
                          rate=360, length=3600, leads=tuple(first.row["leads"]))  # fmt: skip
        cases = SignalCases(dataset, range(count), plan, 0)
        path = Path(folder) / "windows.npy"
        np.save(path, np.stack([dataset.array(at, "signal")[...] for at in range(count)]))
        memmap = np.load(path, mmap_mode="r")
        gain, baseline, _ = steps_of(first.row, [0])
        for size in sizes:
            order = Order(count, size, seed=0)
            loader = SignalLoader(cases, order, torch.zeros(count))
            many = max(1, 4096 // size)

            def ours(loader: SignalLoader = loader, many: int = many) -> list[torch.Tensor]:
                return [one.parts[0].inputs["signal"] for one in loader.batches(0, many)]

            def theirs(order: Order = order, many: int = many, size: int = size) -> list[Any]:
                samples, _ = order.slice_at(0, 0, 1, many)
                found = []
                for own in np.split(samples, many):
                    values = physical(memmap[own], gain, baseline)
                    given = Signals(values, None, np.zeros((size, 0), np.float32))
                    found.append(tree(scaled(given, plan), torch.device("cpu"))["signal"])
                return found

            if not all(map(torch.equal, ours(), theirs())):
                raise SystemExit("batches differ")
            name = f"training's batches of {size}"
            ratio(interleave({name: cpu(ours), "memmap": cpu(theirs)}, rounds), name, "memmap")


def as_array(values: Any) -> np.ndarray:
    """An array, put together where it comes in slabs."""
    return values if isinstance(values, np.ndarray) else np.concatenate(list(values.parts), 1)


def store(root: Path) -> None:
    """A night's bytes in storage by those of its file."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as place:
        (Path(folder) / NIGHT).write_bytes((root / NIGHT).read_bytes())
        arrays, samples = recordings("edf", Path(folder))
        _, size = shard_of(Objects(place), "one", arrays, samples)
        share = size / (root / NIGHT).stat().st_size
        print(f"stored / EDF: {share:.3f} ({size} bytes, rows and metadata included)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["decode", "ingest", "windows", "batches", "store", "all"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--records", type=int, default=128)
    parser.add_argument("--times", type=int, default=1, help="half an hour each: 48 are a day")
    args = parser.parse_args()
    data = Path(os.environ["MEDRAY_DATA"]) / "biosignal"
    if args.part in ("decode", "all"):
        with tempfile.TemporaryDirectory() as folder:
            for path in (*(data / "edf").glob("*.edf"), *(data / "edf").glob("*.bdf")):
                (Path(folder) / f"{path.stem}{path.suffix}").write_bytes(longer(path.read_bytes()))
            decode(Path(folder), args.rounds)
        decode_wfdb(data / "mitbih", args.rounds)
    if args.part in ("ingest", "all"):
        ingest(data / "mitbih", args.rounds, args.records, args.times)
    if args.part in ("windows", "all"):
        windows(data / "mitbih", args.rounds, args.batch)
    if args.part in ("batches", "all"):
        batches(data / "mitbih", args.rounds, [64, 256])
    if args.part in ("store", "all"):
        store(data / "edf")


if __name__ == "__main__":
    main()
