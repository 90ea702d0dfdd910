"""The index has every job's last page, and only what their summaries say."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from medray.report.content import Failure, Report, Scores, Step
from medray.report.index import PATH, summaries, summary_of, write_index
from medray.storage.store.objects import Objects
from medray.tasks.metric import Metric
from medray.tasks.section import Section, Tile
from tests.report.browser import Browser

EVIL = "<script>alert(1)</script>"


def report(title: str, created: str, **changed: object) -> Report:
    tiles = [
        Tile(Metric("Dice"), {"value": 0.91234, "low": 0.9, "high": 0.92}),
        Tile(Metric("undefined"), {"value": None}),
        Tile(Metric("cases scored", kind="count"), 7),
    ]
    scores = Scores("scores", {}, [], Section("s", tiles=tiles))
    steps = [
        Step("ingest", "data", "v", planned=9, committed=8, quarantined=1, seconds=61.0),
        Step("predict", "masks", "v", planned=8, committed=8),
    ]
    return Report(title, f"run-{title}", created, steps, scores=[scores], **changed)  # type: ignore[arg-type]


class Links(HTMLParser):
    """Targets of links, and the words in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [str(value) for name, value in attrs if name == "href"]


def test_each_job_has_a_line_the_newest_first(objects: Objects) -> None:
    write_index(objects, "old", report("old", "2026-01-02 10:00 UTC"))
    write_index(objects, "new", report(EVIL, "2026-03-02 10:00 UTC"))
    failure = Failure("no-space", "the disk is full")
    broken = report("broken", "2026-02-02 10:00 UTC", failure=failure)
    stopped = [*broken.steps[:1], Step("train", "net", state="failed")]
    broken = Report("broken", "r", broken.created, stopped, failure=failure)
    assert write_index(objects, "broken", broken) == PATH
    page = objects.get(PATH).decode()
    links = Links(page)
    assert links.found == ["new/report.html", "broken/report.html", "old/report.html"]
    assert "script" not in links.tags
    assert "Dice 0.912" in page
    assert "undefined" not in page
    assert "Step 2, train, failed" in page
    # Run again, a job has its last page alone.
    write_index(objects, "old", report("old", "2026-04-02 10:00 UTC"))
    assert list(summaries(objects)) == ["old", "new", "broken"]


def test_a_summary_has_counts_and_headlines() -> None:
    made = summary_of(report("t", "now"))
    assert (made["inputs"], made["quarantined"], made["seconds"]) == (9, 1, 61.0)
    assert made["steps"] == ["ingest", "predict"]
    assert made["metrics"] == [{"label": "Dice", "value": 0.91234, "digits": 3}]
    assert made["tone"] == "warn"


def test_what_is_no_summary_is_left_out(objects: Objects) -> None:
    objects.put("reports/torn/summary.json", b'{"created": ')
    objects.put("reports/before/report.html", b"<p>written before there was an index</p>")
    write_index(objects, "job", report("job", "2026-01-02 10:00 UTC"))
    assert list(summaries(objects)) == ["job"]


@pytest.mark.needs("chromium")
def test_a_browser_shows_the_index(objects: Objects, tmp_path: Path) -> None:
    write_index(objects, "job", report("job", "2026-01-02 10:00 UTC"))
    path = tmp_path / "index.html"
    path.write_bytes(objects.get(PATH))
    with Browser(path) as browser:
        browser.until("document.querySelectorAll('tbody tr').length === 1")
        assert browser.ask("document.querySelector('tbody a').innerText") == "job"
        assert browser.requests() == [path.as_uri()]
