"""Damaged HDF5 is refused, in a process of its own: a library in C may not end the test's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, random, sys, time
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import format_damage as damage
from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.expression import Expression

path = Path(sys.argv[1])
original, codes = path.read_bytes(), Counter()
form = Expression(Expression.Options())
slowest = 0.0
for seed in range(int(sys.argv[3])):
    path.write_bytes(damage.damaged(original, random.Random(seed), len(original)))
    started = time.perf_counter()
    plan = form.plan(Source(path))
    codes.update(one.code for one in plan.refused)
    for item in (item for group in plan.groups for item in group):
        try:
            list(form.read(Source(path), item))
            codes["read"] += 1
        except DataError as error:
            codes[error.code] += 1
    slowest = max(slowest, time.perf_counter() - started)
# Not rusage's peak, which begins with the size of the parent.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps({"codes": codes, "slowest_s": slowest, "rss_bytes": peak}))
"""


@pytest.mark.drill
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["h5ad", "tenx"])
def test_damaged_hdf5(kind: str, tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    import test_expression as examples

    (examples.as_h5ad if kind == "h5ad" else examples.as_tenx_file)(tmp_path)
    (path,) = tmp_path.iterdir()
    contract = Path(__file__).parents[1] / "contract"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(contract), "400"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    codes = report["codes"]
    assert report["slowest_s"] < 5
    assert report["rss_bytes"] < 512 * 2**20
    assert sum(codes.values()) >= 400
    assert codes["damaged-hdf5"] > 50
