"""What Prometheus reads of a run on a real cluster, and that the board which ships asks for it."""

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from head import Head

from medray.jobs.submit import submit

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]
BOARD = Path(__file__).parent.parent.parent / "cluster/grafana.json"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
# Of the autoscaler; a cluster that does not grow has none.
GROWS = {"ray_cluster_active_nodes", "ray_cluster_pending_nodes"}


def test_counters_of_a_run_and_the_board_of_them(
    head: Head, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A unit hangs, so that the run is under way while its counters are read.
    monkeypatch.setenv("MEDRAY_FAULTS", f"shard.written=hang:4@{tmp_path / 'spent'}")
    cluster = head.profile(tmp_path / "c.yaml", forward=["MEDRAY_FAULTS"])
    submit(job, cluster=cluster, storage=str(tmp_path / "store"))
    named = {"operation": "ingest", "dataset": "heads"}
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    until = time.monotonic() + 150
    while not (tmp_path / "spent").exists() or not _of(found, "ray_medray_units_total"):
        assert time.monotonic() < until, sorted(name for name in found if "medray" in name)
        time.sleep(1)
        found = _scrape(head)
    time.sleep(30)  # longer than Ray remembers a gauge
    found = _scrape(head)
    ended = _of(found, "ray_medray_units_total", state="committed", **named)
    assert 1 <= ended < 8
    assert _of(found, "ray_medray_units_left", **named) == 8 - ended
    assert _of(found, "ray_medray_inputs_total", **named) == ended
    assert _of(found, "ray_medray_bytes_total", **named) > 100 * ended
    assert _of(found, "ray_medray_unit_seconds_count", phase="write", **named) == ended
    allowed = {"operation", "dataset", "state", "phase", "le"}
    for name, series in found.items():
        if name.startswith("ray_medray"):
            keys = {key for labels, _ in series for key in labels} - _OF_RAY
            ours = {key for key in keys if not key.startswith("otel_scope_")}
            assert ours <= allowed, "names of data sets and counts, nothing else"

    asked = set(re.findall(r"ray_\w+", BOARD.read_text()))
    # A counter that never counted is not told.
    assert asked - found.keys() - GROWS == {"ray_medray_inputs_quarantined_total"}


_OF_RAY = {"Component", "JobId", "NodeAddress", "SessionName", "Version", "WorkerId"}


def _scrape(head: Head) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Series by name, of every address that the head tells Prometheus of."""
    told = json.loads((head.folder / "prom_metrics_service_discovery.json").read_text())
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for address in {one for group in told for one in group["targets"]}:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        for match in filter(None, map(SAMPLE.match, lines)):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            found.setdefault(match[1], []).append((labels, float(match[3])))
    return found


def _of(found: dict[str, list[tuple[dict[str, str], float]]], name: str, **labels: str) -> float:
    return sum(value for had, value in found.get(name, []) if labels.items() <= had.items())
