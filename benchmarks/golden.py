"""What the shipped jobs make, as digests: two builds that should make the same are compared.

    golden.py --build ../before --out before.json; golden.py --build . --out after.json
    golden.py --compare before.json after.json

Each job runs shortened, on one thread and in fp32, into a root of its own. Everything is asked of
the build's command line, so modules may move and files in storage may change. Kept of a step are
its kind, output, counts, metrics, what was refused, and the digest of its content; of a model,
whose digest has options in it, the SHA-256 of its arrays; of an export, that of each file; with
`--report`, the words and pictures of the page. Ids, versions, times and folders are left out.
The real data is found by MEDRAY_DATA. The cohort of the demo is written by `medray demo`.
"""

import argparse
import difflib
import gzip
import hashlib
import html
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("MEDRAY_DATA", "/nowhere"))
# Paths of options, the only place that knows them: a field that moves changes its line here.
AS_SHIPPED: list[str] = []
EPOCH = ["train.epochs=1"]
STEPS = [*EPOCH, "train.steps_per_epoch=20"]
PLAIN = [*STEPS, "train.workers=1", "precision=fp32", "train.precision=fp32"]

JOBS = {
    **dict.fromkeys(("ct-head", "vcf-qc", "score-vcf"), AS_SHIPPED),
    **dict.fromkeys(("demo", "pneumonia", "em-membranes"), PLAIN),
    **dict.fromkeys(("hippocampus", "hippocampus-segnet"), PLAIN),
    **dict.fromkeys(("splice", "variant-sites", "multi-omics"), EPOCH),
    # Of its two, one stays with a fold for each sample.
    "genome-table": [*EPOCH, "1.split={folds: 4, by: sample, seed: 0}", "2.folds=fold"],
    **dict.fromkeys(("promoters", "expression", "yeast"), STEPS),
}
UNSTABLE = {("chr20-scores-annotated-vcf", "digest")}  # its files name the model's version
FAILS = {"ct-head": "empty-dataset"}  # its series are there to be refused
# Of a page: where its time went, runs, versions, moments, durations.
MASKS = {
    r"(?s)Where the time went.*?(?=How the scores|Written by)": "",
    r"\bjob-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b": "ID",
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+\d\d:\d\d| UTC|Z)?": "MOMENT",
    r"\b\d+(\.\d+)? ?(ms|s|min|h)\b( \d+ ?(s|min)\b)?": "DURATION",
}


class Build:
    """A checkout whose commands are run in a folder, each in a process of one thread."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path.resolve(), folder
        self.environment = {**os.environ, "PYTHONPATH": str(self.path), "OMP_NUM_THREADS": "1"}
        self.environment |= {"MEDRAY_DATA": str(DATA.resolve()), "MEDRAY_DEMO": str(folder / "raw")}
        found = self._python("-c", "import medray; print(medray.__file__)").stdout.strip()
        if not Path(found).is_relative_to(self.path):
            raise SystemExit(f"another build is imported: {found}")

    def ask(self, *command: str) -> Any:
        """The JSON that a command of medray prints; its storage is in the folder."""
        store = str(self.folder / "store")
        done = self._python("-m", "medray", *command, "--storage", store, "--json")
        if not done.stdout:
            raise RuntimeError(f"medray {' '.join(command)}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.replace(str(self.folder), "FOLDER"))

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        place: Any = {"cwd": self.folder, "env": self.environment, "capture_output": True}
        return subprocess.run([sys.executable, *arguments], check=False, text=True, **place)


def recorded(build: Build, job: str, args: argparse.Namespace) -> dict[str, Any]:
    """What one job made, with the processor's time that it took, and its page if there is one."""
    if job == "demo":
        # The cohort is written before the job is read, and the job ends there: no such cluster.
        build.ask("demo", "--data", str(build.folder / "raw"), "--cluster", "none-of-these")
    settings = [*JOBS[job], *args.set]
    options = [word for setting in settings for word in ("--set", setting)]
    began = sum(os.times()[2:4])  # processor's time of children: others may be running
    options.append("--report" if args.report else "--no-report")
    done = build.ask("run", job, "--cluster", args.cluster, *options)
    found: dict[str, Any] = {"settings": settings, "seconds": round(sum(os.times()[2:4]) - began)}
    error = done.get("error", {})
    if error.get("code") != FAILS.get(job):
        raise SystemExit(f"{job}: {error or 'was to fail, and did not'}")
    found["steps"] = [step_of(build, step) for step in done["steps"]]
    found["files"] = dict(files_of(build.folder / "out"))
    if error:
        found |= {"error": error, "refused": refused(build, error["about"])}
    page = done.get("report", "").replace("FOLDER", str(build.folder))
    return {job: found} | ({f"{job} page": page_of(Path(page))} if page else {})


def step_of(build: Build, step: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a step."""
    known = build.ask("show", step["output"])
    found = {name: step[name] for name in ("kind", "units", "metrics", "cautions")}
    found["output"] = step["output"].partition("@")[0]
    if known["kind"] == "model":
        arrays = [name for name in known["files"] if name.endswith(".safetensors")]
        return {**found, "sha256": {name: known["files"][name]["sha256"] for name in arrays}}
    kept = ("digest", "samples", "inputs", "quarantine", "passed_over", "columns")
    found |= {name: known[name] for name in kept if (found["output"], name) not in UNSTABLE}
    found["units_stored"] = known["units"]
    if known["quarantine"] or known["passed_over"]:
        found["refused"] = refused(build, step["output"])
    return found


def refused(build: Build, reference: str) -> dict[str, Any]:
    """What a dataset did not take: the first of it, and a hash of all."""
    rows = build.ask("quarantine", reference)["quarantine"]
    texts = sorted(json.dumps(row, sort_keys=True) for row in rows)
    return {"rows": len(rows), "first": texts[:20], "sha256": sha256("\n".join(texts).encode())}


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and hashes of what was exported; files of medray's own have names with a dot first."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".csi":
            content = path.read_bytes()
            if path.name.endswith(".vcf.gz"):  # see UNSTABLE; so is the index, of compressed places
                content = re.sub(rb"@[0-9a-f]{32}", b"@ID", gzip.decompress(content))
            yield path.relative_to(folder).as_posix(), sha256(content)


def page_of(path: Path) -> dict[str, list[str]]:
    """Words of a report's page, the first of perhaps 100,000; hashes of all and of pictures."""
    text = path.read_text()
    pictures = re.findall(r'"data:[^"]+"|<svg.*?</svg>', text, re.DOTALL)
    text = re.sub(r"(?s)<style.*?</style>|<svg.*?</svg>|<[^>]+>", "\n", text)
    text = html.unescape(text).replace(str(path.parents[2].parent), "FOLDER")
    for pattern, word in MASKS.items():
        text = re.sub(pattern, word, text)
    words = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    hashes = [sha256(one.encode()) for one in ["\n".join(words), *pictures]]
    return {"words": words[:2000], "sha256": hashes[:1], "pictures": hashes[1:]}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where two records differ, a line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            if name not in ("settings", "seconds"):
                one, other = (record.get(name, "absent") for record in (before, after))
                yield from differences(one, other, f"{path}/{name}")
    elif path.endswith("/words"):
        lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
        yield from (f"{path}: {line}" for line in lines if not line.startswith("@@"))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        yield from differences(dict(enumerate(before)), dict(enumerate(after)), path)
    elif before != after:
        yield f"{path}: {json.dumps(before)[:300]} -> {json.dumps(after)[:300]}"


def compare(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Print where jobs and pages that both have differ; the exit status is 1 if they do."""
    both = [job for job in before if job in after]
    print(f"in one of them only: {', '.join(sorted({*before} ^ {*after})) or 'none'}")
    found = [line for job in both for line in differences(before[job], after[job], job)]
    print("\n".join([*found, f"{len(both)} records compared, {len(found)} differences"]))
    raise SystemExit(1 if found or not both else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", type=Path, help="checkout to run")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--jobs", default=",".join(JOBS), help="default: %(default)s")
    parser.add_argument("--report", action="store_true", help="keep the text of the pages too")
    parser.add_argument("--cluster", default="inline")
    parser.add_argument("--set", action="append", default=[], help="one more, for all of --jobs")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="JSON")
    args = parser.parse_args()
    if args.compare:
        compare(*(json.loads(path.read_text()) for path in args.compare))
    if not args.build or not args.out or not DATA.is_dir():
        raise SystemExit("--build and --out are needed, and MEDRAY_DATA, the folder of real data")
    found: dict[str, Any] = {}
    for job in args.jobs.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found |= recorded(Build(args.build, Path(folder).resolve()), job, args)
        print(f"{job}: {found[job]['seconds']} s", flush=True)
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
