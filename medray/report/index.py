"""An index over the pages of all jobs that have run on a root: one HTML file beside them."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from medray.report.content import Report
from medray.report.page import environment_of
from medray.storage.store.objects import Objects

PATH = "reports/index.html"
SUMMARY = "summary.json"
MOST = 1000  # jobs on the page, the newest first
HEADLINES = 4  # metrics of a job on the page


def summary_of(report: Report) -> dict[str, Any]:
    """What the index says of a page: words, counts and headlines, JSON-able."""
    tone, headline, _ = report.verdict
    metrics = [
        {"label": tile.metric.label, "value": value, "digits": tile.metric.digits}
        for scores in report.scores
        for tile in scores.section.tiles
        if isinstance(value := _value(tile.value), float)
    ]
    return {
        "title": report.title,
        "run": report.run,
        "created": report.created,
        "tone": tone,
        "headline": headline,
        "steps": [step.kind for step in report.steps],
        "inputs": next((one.planned for one in report.steps if one.planned is not None), 0),
        "quarantined": sum(step.quarantined for step in report.steps),
        "seconds": report.seconds,
        "metrics": metrics[:HEADLINES],
    }


def write_index(objects: Objects, name: str, report: Report) -> str:
    """Keep a page's summary beside it, and write the index anew.

    Of two runs that end at once the later index has both; each summary has one writer.

    Args:
        objects: the storage root.
        name: of the report.
        report: its content.

    Returns:
        Path of the index below the root.
    """
    objects.put(f"reports/{name}/{SUMMARY}", json.dumps(summary_of(report)).encode())
    objects.put(PATH, render(summaries(objects)).encode())
    return PATH


def summaries(objects: Objects) -> dict[str, dict[str, Any]]:
    """Of all reports that have one, by name, the newest first."""

    def read(name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(objects.get(f"reports/{name}/{SUMMARY}"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) and "created" in found else None

    names = sorted(objects.folders("reports"))
    with ThreadPoolExecutor(objects.profile.concurrency) as pool:
        pairs = zip(names, pool.map(read, names), strict=True)
        found = {name: one for name, one in pairs if one is not None}
    newest = sorted(found, key=lambda name: (found[name]["created"], name), reverse=True)
    return {name: found[name] for name in newest[:MOST]}


def render(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The index as HTML; whatever stands in a summary is escaped."""
    return environment_of().get_template("index.html.j2").render(jobs=found)


def _value(value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) else value
