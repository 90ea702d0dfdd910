"""A dataset of many units: listing, showing, opening, verifying, publishing and planning it again.

Each build makes the dataset itself, through its ledger: a unit is a table of one row, so that what
is measured is the catalogue and not data. Each measurement is a process of its own; times are those
of the call, without the start and imports, processors' times with those of its children, and peaks
are the kernel's (VmHWM), libraries included.

- ls, show: the command, as JSON;
- first sample: opening the newest version and reading one sample in its middle;
- verify: all that a version names, its commits' records and tables;
- publish: the commits of all units are at hand;
- plan: which units are committed, of all and ten more, as every run asks first;
- samples: the table of all samples.

`--base` names a checkout of another build, of the same names of modules, measured beside this one:
digests, counts, ids and what is found wrong must be equal. `--beside` puts so many more datasets
into the storage, to show what grows with them.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
PARTS = ("ls", "show", "first sample", "verify", "publish", "plan", "samples")
NAME = "many"


def unit_of(number: int) -> str:
    """Id of a unit."""
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:32]


def committed(root: str, name: str, units: int) -> Any:
    """Root, commits in order and ledger of a dataset, as a run asks for them."""
    from medray.storage.catalog.ledger import Ledger
    from medray.storage.store.objects import Objects

    objects = Objects(root)
    ledger = Ledger(objects, name)
    ids = map(unit_of, range(units))
    return objects, ledger.committed(ids), ledger


def publish_all(objects: Any, name: str, commits: Any) -> Any:
    """Publish them, whichever build this is."""
    from medray.storage.catalog.publish import publish

    return publish(
        objects, name, kind="ingest", spec="0" * 32, commits=commits, refused=[], parents=[]
    )


def make(root: str, name: str, units: int) -> None:
    """Commit so many units of one sample each, and publish them."""
    from medray.ids import attempt_id
    from medray.storage.catalog.commit import Commit
    from medray.storage.catalog.ledger import Attempt, Ledger
    from medray.storage.shards.samples import Sample
    from medray.storage.shards.writer import ShardWriter
    from medray.storage.store.objects import Objects

    os.fsync = lambda _: None  # waiting for the disk would be most of the making
    objects = Objects(root)
    ledger = Ledger(objects, name)
    for number in range(units):
        attempt = Attempt(unit_of(number), attempt_id(), 1, False, frozenset())
        writer = ShardWriter(objects, ledger.shard_path(attempt))
        writer.add(Sample(f"{number:08d}", {"subject": f"p{number % 999}", "age": number % 90}))
        ledger.commit(attempt, Commit(attempt.unit, attempt.id, writer.finish(), 1, []))
    _, commits, ledger = committed(root, name, units)
    publish_all(objects, name, commits)
    ledger.pack()


def command(root: str, *arguments: str) -> Any:
    """Run a command in this process; returns what it printed."""
    from medray.cli import main as medray

    printed = io.StringIO()
    with redirect_stdout(printed):
        medray([*arguments, "--storage", root, "--json"], standalone_mode=False)
    return json.loads(printed.getvalue())


def measure(part: str, root: str, units: int) -> dict[str, Any]:
    """Seconds of a part in this process, and an answer that builds must agree on."""
    import pyarrow

    from medray.storage.catalog.check import verify_reference
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects

    objects = Objects(root)
    started, began = time.perf_counter(), time.process_time()
    if part in ("ls", "show"):
        found = command(root, part, *([NAME] if part == "show" else []))
        rows = [one for one in found.get("datasets", [found]) if one["name"] == NAME]
        answer: Any = [rows[0]["samples"], rows[0].get("digest")]
    elif part == "first sample":
        sample = open_dataset(objects, NAME)[units // 2]
        answer = [sample.id, sample.row]
    elif part == "verify":
        answer = [str(problem) for problem in verify_reference(objects, NAME)[1]]
    elif part == "samples":
        table = open_dataset(objects, NAME).samples
        answer = hashlib.sha256("".join(table["sample_id"].to_pylist()).encode()).hexdigest()
    elif part == "plan":
        answer = len(committed(root, NAME, units + 10)[1])
    else:
        commits = committed(root, NAME, units)[1]
        if isinstance(commits, list):  # the build of before imports pandas, long before this
            pyarrow.array([1])
        started, began = time.perf_counter(), time.process_time()
        answer = publish_all(objects, NAME, commits).digest
    children = os.times()
    cpu = time.process_time() - began + children.children_user + children.children_system
    took = {"seconds": time.perf_counter() - started, "cpu": cpu}
    return {**took, "answer": answer}


def run(build: Path, part: str, root: str, name: str, units: int) -> dict[str, Any]:
    """One part, in a process of a build."""
    arguments = ["--part", part, "--root", root, "--name", name, "--units", str(units)]
    environment = {**os.environ, "PYTHONPATH": str(build), "MEDRAY_BENCH_BUILD": str(build)}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
        cwd=root,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one_part(args: argparse.Namespace) -> None:
    """What a process of a build does; prints JSON."""
    import medray

    if not str(medray.__file__).startswith(os.environ["MEDRAY_BENCH_BUILD"]):
        raise SystemExit(f"another build is imported: {medray.__file__}")
    if args.part == "make":
        make(args.root, args.name, args.units)
        found: dict[str, Any] = {}
    else:
        found = measure(args.part, args.root, args.units)
    status = Path("/proc/self/status").read_text()
    found["peak_mb"] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=50_000)
    parser.add_argument("--beside", type=int, default=0, help="more datasets, of one unit each")
    parser.add_argument("--base", type=Path, help="checkout of another build, measured too")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS)
    parser.add_argument("--folder", help="keep what is made there, and use what is there")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        one_part(args)
        return
    builds = {"medray": HERE} | ({"base": args.base.resolve()} if args.base else {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(args.folder or scratch)
        for build, place in builds.items():
            root = folder / build
            if not root.exists():
                root.mkdir(parents=True)
                run(place, "make", str(root), NAME, args.units)
                for number in range(args.beside):
                    run(place, "make", str(root), f"beside{number}", 1)
        for part in args.parts:
            seconds: dict[str, list[float]] = {build: [] for build in builds}
            cpu: dict[str, list[float]] = {build: [] for build in builds}
            peaks: dict[str, float] = {}
            for _ in range(args.rounds):
                answers = []
                for build, place in builds.items():
                    found = run(place, part, str(folder / build), NAME, args.units)
                    seconds[build].append(found["seconds"])
                    cpu[build].append(found["cpu"])
                    peaks[build] = max(found["peak_mb"], peaks.get(build, 0))
                    answers.append(found["answer"])
                if any(answer != answers[0] for answer in answers):
                    raise SystemExit(f"{part}: the builds disagree: {answers}")
            least = {build: min(took) for build, took in seconds.items()}
            for build in builds:
                told = f"{least[build]:.3f} s, {min(cpu[build]):.3f} s of a processor"
                print(f"{part}, {build}: {told} ({peaks[build]:.0f} MiB)", flush=True)
            if "base" in builds:
                print(f"{part}, times faster: {least['base'] / least['medray']:.1f}", flush=True)


if __name__ == "__main__":
    main()
