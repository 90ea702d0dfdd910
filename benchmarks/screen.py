"""Screening: SMILES in Parquet to committed scores, beside its bare parts and beside chemprop.

`bare`: the whole job (ingest without canonical SMILES and scaffolds, screen), by processor seconds
of all processes, beside RDKit's `MolFromSmiles` in a loop and the bare network over batches that
stand in memory; answers are compared. What it takes to start the process for RDKit is taken off.

`chemprop`: the command `medray run` beside `chemprop predict`, of the same rows, each with a
network as deep and with as many weights (`--as-wide`: as wide), random, one thread; with starts,
and without (the same commands with 64 rows taken off). With `--clock` by the clock and not by the
processor's time: two files and a worker each on Ray, beside chemprop with as many threads as it
likes and a process that makes its batches. It needs an environment of its own:
`python -m venv DIR`, then `DIR/bin/pip install 'chemprop==2.3.*'`, and `--chemprop DIR`.

`memory`: peaks of the driver and of workers on Ray, N rows and ten (`--times`) times as many.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from molecules import cpu, smiles_of
from pairs import interleave, ratio
from rdkit import Chem, RDLogger
from safetensors.torch import save

from medray.formats.molecules import nursery
from medray.formats.molecules.guard import Guard
from medray.formats.smiles import Smiles
from medray.jobs.run import run
from medray.modalities.ask import ask
from medray.modalities.loaded import load_trained
from medray.modalities.molecule import MoleculeSamples
from medray.modalities.molecule.cases import gather
from medray.modalities.molecule.plan import MoleculePlan
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import save_model
from medray.storage.store.objects import Objects

TOGETHER, THEIRS, FEW = 128, 512, 64  # ours at once, chemprop's, and rows of a start
FORM = {"name": "smiles", "columns": {}, "canonical": False, "scaffold": False}
CPU = torch.device("cpu")


def write_rows(path: Path, rows: list[str], files: int = 1) -> Path:
    """A folder with Parquet files of SMILES."""
    path.mkdir()
    for number in range(files):
        some = rows[len(rows) * number // files : len(rows) * (number + 1) // files]
        table = pa.table({"smiles": some})
        pq.write_table(table, path / f"library-{number}.parquet", row_group_size=2**16)
    return path


def job(source: Path) -> list[dict[str, Any]]:
    """The whole way."""
    return [
        {"kind": "ingest", "format": FORM, "source": str(source), "output": "library"},
        {"kind": "screen", "models": {"score": "net"}, "data": "library", "output": "scores"},
    ]


def store_net(root: Path, name: str, hidden: int, layers: int) -> int:
    """A network with random weights; returns how many it has."""
    model = {"name": name, "hidden": hidden, "layers": layers, "head": [hidden], "dropout": 0.0}
    task = {"name": "regression", "target": "value"}
    plan = MoleculePlan(
        answers="sample", classes=("value",), batch_size=64, frequencies=(0.0, 1.0),
        samples=1, graph=True, widths={},
    )  # fmt: skip
    torch.manual_seed(0)
    made = MoleculeSamples().build(model, plan)
    config = {"model": model, "task": task, "plan": plan.model_dump(mode="json")}
    weights = save(dict(made.state_dict()))
    save_model(
        Objects(str(root)), "net", weights=weights, config=config, metrics={}, parents=[],
        spec="", card="",
    )  # fmt: skip
    return sum(one.numel() for one in made.parameters())


def bare(folder: Path, rows: list[str], nets: Path, pairs: int) -> None:
    """Ratio of the job to its bare parts."""
    source = write_rows(folder / "rows", rows)
    answers: dict[str, np.ndarray] = {}
    batches: list[Any] = []
    net = load_trained(Objects(str(nets)), "net", CPU)
    parts: dict[str, list[float]] = {}

    def start() -> float:
        began = cpu()
        options = Smiles.Options.model_validate({k: v for k, v in FORM.items() if k != "name"})
        assert len(list(Guard(Smiles.reader, options.model_dump(), 5.0).read([["C"]]))) == 1
        nursery.close()
        return cpu() - began

    starts = [start() for _ in range(3)]

    def medray() -> float:
        root = folder / "store"
        shutil.copytree(nets, root)
        objects = Objects(str(root))
        began = cpu()
        run(job(source), storage=objects, cluster="inline")
        nursery.close()  # its processor seconds are told when it ends
        took = cpu() - began - statistics.median(starts)
        answers["medray"] = np.asarray(open_dataset(objects, "scores").samples["score"])
        if not batches:
            library = open_dataset(objects, "library")
            whole = gather(library, range(len(library)), True, ())
            for at in range(0, len(library), TOGETHER):
                some = np.arange(at, min(at + TOGETHER, len(library)))
                batches.append(whole.take(some).tree(CPU))
        shutil.rmtree(root)
        return took

    def theirs() -> float:
        began = time.process_time()
        for text in rows:
            Chem.MolFromSmiles(text)
        parsed = time.process_time()
        made = [ask(net.network, one, net.task, "fp32") for one in batches]
        ended = time.process_time()
        answers["bare"] = np.concatenate(made)[:, 0]
        parts.setdefault("parsing", []).append(parsed - began)
        parts.setdefault("network", []).append(ended - parsed)
        return ended - began

    medray()  # fills the batches
    seconds = interleave({"medray": medray, "bare": theirs}, pairs)
    np.testing.assert_allclose(answers["medray"], answers["bare"], rtol=1e-4, atol=1e-5)
    for name, took in {**seconds, **parts}.items():
        print(f"{name:10} {1e6 * statistics.median(took) / len(rows):8.1f} us a row")
    ratio(seconds, "medray", "bare")


def command(arguments: list[str], clock: bool) -> float:
    """Seconds of a command and its processes: of a processor, or by the clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = dict(os.environ)
    if not clock:
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if clock:
        return time.perf_counter() - began
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def beside_chemprop(
    folder: Path,
    rows: list[str],
    nets: Path,
    where: Path,
    size: list[str],
    pairs: int,
    clock: bool,
) -> None:
    """Ratios of the commands.

    Args:
        size: of chemprop's network, as `reference/chemprop_net.py` takes it.
    """
    if not (where / "bin" / "chemprop").exists():
        print("chemprop is not there: see --help")
        return
    script = Path(__file__).parent / "reference" / "chemprop_net.py"
    model = folder / "chemprop.pt"
    told = [str(where / "bin" / "python"), str(script), str(model), *size]
    made = subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()
    print(f"chemprop's network: width {made[-2]}, {made[-1]} weights")

    def medray(name: str, some: list[str]) -> Callable[[], float]:
        path = folder / f"{name}.yaml"
        source = write_rows(folder / name, some, 2 if clock else 1)
        path.write_text(yaml.safe_dump_all(job(source)))

        def once() -> float:
            root = folder / "command"
            shutil.copytree(nets, root)
            run_it = [sys.executable, "-m", "medray", "run", str(path), "--storage", str(root)]
            cluster = "local" if clock else "inline"
            took = command([*run_it, "--cluster", cluster, "--no-report", "--json"], clock)
            shutil.rmtree(root)
            return took

        return once

    def chemprop(name: str, some: list[str]) -> Callable[[], float]:
        path, out = folder / f"{name}.csv", folder / f"{name}-out.csv"
        path.write_text("smiles\n" + "\n".join(some) + "\n")
        ask_it = [str(where / "bin" / "chemprop"), "predict", "--test-path", str(path)]
        ask_it += ["--smiles-columns", "smiles", "--model-paths", str(model)]
        ask_it += ["--preds-path", str(out), "--accelerator", "cpu"]
        ask_it += ["--num-workers", "1" if clock else "0", "--batch-size", str(THEIRS)]
        return lambda: command(ask_it, clock)

    seconds = interleave(
        {
            "medray": medray("all", rows),
            "chemprop": chemprop("all", rows),
            "medray start": medray("few", rows[:FEW]),
            "chemprop start": chemprop("few", rows[:FEW]),
        },
        pairs,
    )
    ratio(seconds, "medray", "chemprop")
    for name in ("medray", "chemprop"):
        both = zip(seconds[name], seconds[f"{name} start"], strict=True)
        seconds[f"{name} rows"] = [whole - started for whole, started in both]
        rate = (len(rows) - FEW) / statistics.median(seconds[f"{name} rows"])
        started = statistics.median(seconds[f"{name} start"])
        print(f"{name:10} {rate:8,.0f} rows a second, {started:.1f} s to start")
    ratio(seconds, "medray rows", "chemprop rows")


def peaks(arguments: list[str]) -> dict[str, float]:
    """The most that the driver, and any of Ray's workers, has held, in MB."""
    found: dict[str, float] = {}
    over = threading.Event()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment) as process:

        def look() -> None:
            while not over.wait(0.1):
                try:
                    driver = psutil.Process(process.pid)
                    for one in [driver, *driver.children(recursive=True)]:
                        title = "driver" if one == driver else one.name()
                        status = Path(f"/proc/{one.pid}/status").read_text()
                        held = int((status.partition("VmHWM:")[2].split() or ["0"])[0]) / 1024
                        found[title] = max(found.get(title, 0.0), held)
                except (psutil.Error, OSError):
                    continue

        watcher = threading.Thread(target=look)
        watcher.start()
        status = process.wait()
        over.set()
        watcher.join()
    if status:
        raise SystemExit(f"{arguments} ended with {status}")
    return found


def memory(folder: Path, rows: list[str], nets: Path, clusters: list[str], most: int) -> None:
    """Peaks with as many rows as there are, and with `most` times as many."""
    for cluster in clusters:
        found = []
        for times in (1, most):
            many = times * rows
            source = write_rows(folder / f"{cluster}{times}", many)
            path, root = folder / "memory.yaml", folder / "memory"
            path.write_text(yaml.safe_dump_all(job(source)))
            shutil.copytree(nets, root)
            run_it = [sys.executable, "-m", "medray", "run", str(path), "--storage", str(root)]
            began = time.perf_counter()
            found.append(peaks([*run_it, "--cluster", cluster, "--no-report", "--json"]))
            took = time.perf_counter() - began
            print(f"{cluster}, {len(many):,} rows: {len(many) / took:,.0f} rows/s on the clock")
            shutil.rmtree(root)
            shutil.rmtree(source)
        for name in sorted(set(found[0]) & set(found[1])):
            few, many_mb = found[0][name], found[1][name]
            if max(few, many_mb) > 100:
                print(
                    f"peak of {cluster} {name}: {many_mb / few:.2f} ({few:.0f}, {many_mb:.0f} MB)"
                )


def main() -> None:
    """See the module."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("files", type=Path, nargs="+", help="tables with a column smiles or mol")
    asked.add_argument("--what", nargs="*", default=["bare", "chemprop"])
    asked.add_argument("--rows", type=int, default=40_000)
    asked.add_argument("--pairs", type=int, default=3)
    asked.add_argument("--times", type=int, default=10, help="of memory")
    asked.add_argument("--network", default="dmpnn")
    asked.add_argument("--hidden", type=int, default=128)
    asked.add_argument("--layers", type=int, default=3)
    asked.add_argument("--clusters", nargs="*", default=["inline", "local"])
    asked.add_argument("--as-wide", action="store_true", help="chemprop's network, not as large")
    asked.add_argument("--clock", action="store_true", help="commands by the clock, all cores")
    asked.add_argument("--chemprop", type=Path, default=Path("chemprop-venv"))
    options = asked.parse_args()
    RDLogger.DisableLog("rdApp.*")
    torch.set_num_threads(1)
    # One row that RDKit can't read ends chemprop, so there is none.
    known = [text for text in smiles_of(options.files) if Chem.MolFromSmiles(text) is not None]
    rows = [known[n * 7919 % len(known)] for n in range(options.rows)]
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        nets = folder / "nets"
        size = store_net(nets, options.network, options.hidden, options.layers)
        print(f"{options.network}: {size} weights")
        if "bare" in options.what:
            bare(folder, rows, nets, options.pairs)
        if "chemprop" in options.what:
            same = ["--hidden", options.hidden] if options.as_wide else ["--weights", size]
            told = [str(one) for one in (options.layers, *same)]
            beside_chemprop(
                folder, rows, nets, options.chemprop, told, options.pairs, options.clock
            )
        if "memory" in options.what:
            memory(folder, rows, nets, options.clusters, options.times)


if __name__ == "__main__":
    main()
