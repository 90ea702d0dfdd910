import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa

from medray.modalities.image.overlay import encode_png
from medray.report.content import Report, Scores, Step, Training, group_refusals
from medray.report.page import render
from medray.storage.shards.records import Refusal
from medray.tasks import build_task
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.classification import score_classification, summarise_classification
from medray.tasks.metrics.regression import score_regression, summarise_regression
from medray.tasks.metrics.segmentation import score_segmentation, summarise_segmentation
from medray.tasks.metrics.tagging import score_tagging, summarise_tagging
from medray.tasks.section import ScoredCases

EVIL = "<script>alert(1)</script>"


def scores_of(options: dict[str, Any], name: str, summary: Any, cases: Any) -> Scores:
    section = build_task(options).section(ScoredCases(name, summary, cases))
    return Scores(name, summary, cases, section)


def masks() -> Scores:
    truth = np.zeros((4, 12, 12), np.uint8)
    truth[1:3, 2:8, 2:8] = 1
    cases = []
    for i, predicted in enumerate([truth, np.roll(truth, 2, axis=1), None]):
        rows = score_segmentation(predicted, truth, (1.0, 1.0, 1.0), ["background", EVIL])
        cases += [{"case": f"case-{i}", **row} for row in rows]
    summary = summarise_segmentation(pa.Table.from_pylist(cases), Bootstrap(repeats=50))
    png = encode_png(np.zeros((4, 4, 3), np.uint8))
    options = {"name": "segmentation", "classes": ["background", EVIL]}
    made = scores_of(options, "masks-scores", summary, cases)
    best = made.section.pictures[0]
    drawn = replace(best, panels=[("truth", png)], legend=[(EVIL, (230, 159, 0))])
    return replace(made, section=replace(made.section, pictures=[drawn]))


def answers() -> Scores:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 60)
    p = np.clip(0.4 * targets + random.uniform(0, 0.6, 60), 0, 1)
    classes = ["normal", "pneumonia"]
    rows = score_classification(np.stack([1 - p, p], axis=1), targets, classes)
    cases = [{"case": f"s{i}", **row} for i, row in enumerate(rows)]
    summary = summarise_classification(pa.Table.from_pylist(cases), classes, Bootstrap(repeats=50))
    options = {"name": "classification", "classes": classes}
    made = scores_of(options, "answers-scores", summary, cases)
    return replace(made, section=replace(made.section, pictures=[]))


def rates() -> Scores:
    actual = np.random.default_rng(0).normal(1234.5, 9, 60)
    rows = [score_regression(np.array([one]), np.array([one + 1])) for one in actual]
    cases = [{"case": f"p{i}", **row} for i, row in enumerate(rows)]
    summary = summarise_regression(pa.Table.from_pylist(cases), ["rate"], Bootstrap(repeats=50))
    options = {"name": "regression", "target": "rate"}
    return scores_of(options, "rate-scores", summary, cases)


def sites() -> Scores:
    random = np.random.default_rng(0)
    classes, cases = ["constant", "variable"], []
    for index in range(8):
        label = random.integers(0, 2, 50)
        p = np.clip(0.4 * label + random.uniform(0, 0.6, 50), 0, 1)
        row = score_tagging(np.stack([1 - p, p]), label, classes, ignore=255)
        cases.append({"case": f"block-{index}", **row})
    summary = summarise_tagging(pa.Table.from_pylist(cases), classes, Bootstrap(repeats=50))
    return scores_of({"name": "tagging", "classes": classes}, "site-scores", summary, cases)


def page(**fields: object) -> str:
    step = Step(
        "ingest", "ct", "v" * 32, "d" * 32, 6, 3, 2, 4, 1, 1, 0, 3725.0, stages={"read": 1.25}
    )
    train = Step("train", "net", "m" * 32, "e" * 32, parents=("ct@" + "v" * 32,))
    refused = [
        asdict(Refusal(EVIL, "gantry-tilt", "18.5°", files=28, hint="interpolate it")),
        asdict(Refusal("b", "gantry-tilt", "18.5°", files=9, path="b/1.dcm", syntax="1.2.3")),
        asdict(Refusal("c", "a-report", "no image", kind="passed-over")),
    ]
    history = [{"epoch": e, "step": e, "loss": 1 / (e + 1)} for e in range(6)]
    content = {
        "refusals": group_refusals("ct", refused),
        "trainings": [Training("net", history, {"model.name": "unet"})],
        "scores": [masks(), answers()],
        "environment": {"python": "3.11"},
        **fields,
    }
    return render(Report("job", "r-1", "2026-01-01 00:00 UTC", [step, train], **content))


class Reader(HTMLParser):
    """Tags that are open at the end, and everything that a page could load."""

    void = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
        names = ("src", "href", "xlink:href", "action", "data", "poster")
        self.loads += [value or "" for name, value in attrs if name in names]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_the_page_is_whole_and_loads_nothing() -> None:
    html = page()
    reader = read(html)
    assert reader.loads
    assert all(load.startswith(("data:image/png;base64,", "#")) for load in reader.loads)
    assert "script" not in reader.tags
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_names_are_escaped_wherever_they_stand() -> None:
    html = page()
    assert EVIL not in html
    assert "&lt;script&gt;" in html


def test_what_must_be_on_it() -> None:
    html = page()
    text = " ".join(" ".join(read(html).text).split())
    for fact in (
        "Complete, with missing predictions",
        "gantry-tilt",
        "62 min 05 s",
        "no-prediction",
        "Dice",
        "HD95, mm",
        "AUROC",
        "v" * 32,
        "d" * 32,
        "e" * 32,
        "Reliability",
        "case-2",
    ):
        assert fact in text, fact
    assert html.count("data:image/png") == 1


def test_only_scores_that_are_on_it_are_defined() -> None:
    html = page()
    assert "HD95 is the larger" in html
    assert "15 equal bins" in html
    html = page(scores=[rates()])
    assert "How the scores are defined" in html
    assert "HD95 is the larger" not in html
    assert "15 equal bins" not in html


def test_a_run_without_scores_has_a_page_too() -> None:
    html = page(scores=[], trainings=[], refusals=[])
    text = " ".join(" ".join(read(html).text).split())
    assert "Nothing was quarantined" in text
    assert "How the scores are defined" not in text
    assert "Complete, with quarantine" in text


def test_values_and_bases_have_their_scores_and_no_case_shows_its_value() -> None:
    html = page(scores=[rates(), sites()])
    for shown in ("R²", "Spearman r", "Predicted and true", "AUROC, mean of samples", "variable"):
        assert shown in html
    assert "block-3" in html
    table = html[html.index("p3</") :][:400]
    assert "1.000" in table  # how far off, and not what the value is
    assert re.search(r"12[0-9]{2}\.[0-9]", table) is None
