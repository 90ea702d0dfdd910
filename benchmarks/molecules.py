"""Compounds in: ingest to committed shards beside a bare loop of RDKit's `MolFromSmiles`.

The same rows, those of the files given over and over, go in turn through:

    bare       `MolFromSmiles` in a loop, nothing else
    graphs     ingest without canonical SMILES and scaffolds
    canonical  ingest with canonical SMILES, without scaffolds
    full       ingest as it is by default
    unguarded  `graphs`, but RDKit works in this process
    hangs      `graphs`, one row in 10,000 of which sleeps until its deadline

Told are seconds, and processor seconds of all processes, the start of RDKit among them where it has
a process of its own. `unguarded` and `graphs` are checked to commit the same.

With `--workers` it is `graphs` and `hangs` by the clock alone, by two workers as a cluster has
them, each with two units under way: while one waits for a deadline, there is the other. Files have
at most 60,000 rows, and both read by `Sleeper`.
"""

import argparse
import csv
import gzip
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pairs import interleave, ratio
from rdkit import Chem, RDLogger
from sleeper import HANGS
from workers import crew

from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.formats.base import Source
from medray.formats.molecules import compounds, nursery
from medray.formats.molecules.guard import Guard
from medray.formats.molecules.parsed import Parsed
from medray.formats.molecules.reading import Reader
from medray.formats.smiles import Smiles
from medray.steps.ingest.plan import plan_ingest
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.objects import Objects

EVERY = 10_000
FILES = 4  # each a unit; as in jobs two are under way at a time
A_UNIT = 60_000  # rows of a file at most, so that it is one
SLEEPING = "sleeping:SleepingIngest"
BARE = {"canonical": False, "scaffold": False}


class Unguarded:
    """As `Guard`, in this process."""

    def __init__(self, _reads: str, options: dict[str, Any], _row_s: float) -> None:
        self._reader = Reader(options)

    def begin(self, _row: int) -> bool:
        return True

    def read(self, batches: Iterable[Sequence[str]]) -> Iterator[Parsed]:
        return (self._reader.read(one, self) for one in batches)  # type: ignore[arg-type]


def smiles_of(paths: Sequence[Path]) -> list[str]:
    """Of the column `smiles` or `mol` of tables."""
    found = []
    for path in paths:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
            rows = csv.DictReader(file)
            found += [(row.get("smiles") or row["mol"]).strip() for row in rows]
    return found


def cpu() -> float:
    """Processor seconds of this process and of those that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Bench:
    """Rows in a file, and what is done to them."""

    def __init__(self, rows: list[str], folder: Path) -> None:
        self.rows, self.folder = rows, folder
        self.spent: dict[str, list[float]] = {}
        self.committed: dict[str, list[str]] = {}
        self.bytes = 0

    def bare(self) -> float:
        began, spent = time.perf_counter(), cpu()
        for text in self.rows:
            Chem.MolFromSmiles(text)
        self.spent.setdefault("bare", []).append(cpu() - spent)
        return time.perf_counter() - began

    def ingest(self, name: str, options: dict[str, Any], hangs: bool = False) -> float:
        source = self.source(hangs)
        with tempfile.TemporaryDirectory(dir=self.folder) as root:
            objects = Objects(root)
            began, spent = time.perf_counter(), cpu()
            found = Smiles(Smiles.Options.model_validate(options)).plan(Source(source))
            planned = plan_ingest(found, name="smiles", identity={})
            parameters = {"format": {"name": "smiles", **options}, "source": str(source)}
            operation = "medray.steps.ingest.operation:Ingest"
            spec = WorkerSpec(operation, parameters, objects, "raw", session="bench")
            receipts: list[Receipt] = []
            run_inline(spec, planned.units, receipts.append, threading.Event())
            took = time.perf_counter() - began
            nursery.close()  # its processor seconds are told when it ends
            self.spent.setdefault(name, []).append(cpu() - spent)
            ledger = Ledger(objects, "raw")
            commits = ledger.committed([unit.id for unit in planned.units])
            self.committed[name] = commits.column("content")
            self.bytes = sum(commits.column("bytes"))
            self.account(commits, hangs)
        return took

    def source(self, hangs: bool) -> Path:
        """A folder with the rows, which is made when it is asked for first."""
        source = self.folder / ("hangs" if hangs else "rows")
        if not source.exists():
            source.mkdir()
            rows, files = list(self.rows), max(FILES, len(self.rows) // A_UNIT)
            if hangs:
                rows[EVERY // 2 :: EVERY] = [HANGS] * len(rows[EVERY // 2 :: EVERY])
            for number in range(files):
                some = rows[len(rows) * number // files : len(rows) * (number + 1) // files]
                (source / f"{number:03d}.csv").write_text("smiles\n" + "\n".join(some) + "\n")
        return source

    def account(self, commits: Commits, hangs: bool) -> None:
        """Every row has been committed or refused, those that hang for that."""
        refused = [one.code for rows in commits.refused.values() for one in rows]
        accounted = sum(commits.column("rows")) + len(refused)
        assert accounted == len(self.rows), accounted
        assert refused.count("timeout") == (len(self.rows) + EVERY // 2) // EVERY * hangs


def by_workers(bench: Bench, rounds: int) -> None:
    """The price of rows that hang, by the clock."""
    few = Bench(bench.rows[: FILES * EVERY], bench.folder / "few")
    few.folder.mkdir()
    with crew() as workers:

        def timed(bench: Bench, hangs: bool) -> float:
            given = {**BARE, "row_seconds": 3}, bench.source(hangs)
            with tempfile.TemporaryDirectory(dir=bench.folder) as root:
                done = workers.ingest("smiles", *given, Objects(root), operation=SLEEPING)
            bench.account(done.commits, hangs)
            return done.seconds

        both = {"graphs": False, "hangs": True}
        interleave({name: partial(timed, few, one) for name, one in both.items()}, rounds=0)
        candidates = {name: partial(timed, bench, one) for name, one in both.items()}
        seconds = interleave(candidates, rounds, warm=0)
    for name, took in seconds.items():
        print(f"{name}: {len(bench.rows) / statistics.median(took):,.0f} rows/s on the clock")
    ratio(seconds, "hangs", "graphs")


def main() -> None:
    """See the module."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("files", type=Path, nargs="+", help="tables with a column smiles or mol")
    asked.add_argument("--rows", type=int, default=20_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--only", nargs="*", default=[])
    asked.add_argument("--workers", action="store_true", help="two of them, by the clock")
    options = asked.parse_args()
    RDLogger.DisableLog("rdApp.*")
    known = smiles_of(options.files)
    rows = [known[n * 7919 % len(known)] for n in range(options.rows)]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(rows, Path(folder))
        if options.workers:
            by_workers(bench, options.rounds)
            return

        def unguarded() -> float:
            compounds.Guard = Unguarded  # type: ignore[misc, assignment]
            try:
                return bench.ingest("unguarded", BARE)
            finally:
                compounds.Guard = Guard  # type: ignore[misc]

        def hangs() -> float:
            Smiles.reader, before = "sleeper:Sleeper", Smiles.reader
            try:
                return bench.ingest("hangs", {**BARE, "row_seconds": 3}, hangs=True)
            finally:
                Smiles.reader = before

        candidates: dict[str, Callable[[], float]] = {
            "bare": bench.bare,
            "graphs": lambda: bench.ingest("graphs", BARE),
            "canonical": lambda: bench.ingest("canonical", {"scaffold": False}),
            "full": lambda: bench.ingest("full", {}),
            "unguarded": unguarded,
            "hangs": hangs,
        }
        if options.only:
            candidates = {name: candidates[name] for name in options.only}
        seconds = interleave(candidates, options.rounds)
        for name in candidates:
            spent = sorted(bench.spent[name][1:])[options.rounds // 2]
            took = sorted(seconds[name])[options.rounds // 2]
            print(f"{name}: {len(rows) / took:,.0f} rows/s, {len(rows) / spent:,.0f} a CPU second")
            if name != "bare" and "bare" in candidates:
                ratio(seconds, name, "bare")
                ratio({one: bench.spent[one][1:] for one in (name, "bare")}, name, "bare")
        if {"graphs", "unguarded"} <= set(candidates):
            ratio(seconds, "graphs", "unguarded")
            ratio({n: bench.spent[n][1:] for n in ("graphs", "unguarded")}, "graphs", "unguarded")
            assert bench.committed["graphs"] == bench.committed["unguarded"]
        if {"graphs", "hangs"} <= set(candidates):
            ratio(seconds, "hangs", "graphs")
            ratio({n: bench.spent[n][1:] for n in ("hangs", "graphs")}, "hangs", "graphs")
        print(f"{bench.bytes / len(rows):,.0f} bytes a row in storage")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory: {peak:,.0f} MiB, of a child {child:,.0f} MiB")


if __name__ == "__main__":
    main()
