from dataclasses import asdict

import pytest

from medray.report.content import Report, Scores, Step, group_refusals
from medray.storage.shards.records import Refusal
from medray.tasks.section import Section


def report(*steps: Step, cases: list[dict] | None = None) -> Report:
    scores = [Scores("s", {}, cases, Section("s"))] if cases else []
    return Report("job", "r", "now", steps, scores=scores)


def step(**fields: object) -> Step:
    return Step(**{"kind": "ingest", "output": "ct", "planned": 10, "committed": 10, **fields})


LOST = [{"case": "c1", "status": "no-prediction"}, {"case": "c1", "status": "no-prediction"}]


@pytest.mark.parametrize(
    ("made", "tone", "headline"),
    [
        (report(step()), "good", "Complete"),
        (report(step(planned=None, committed=0)), "good", "Complete"),
        (report(step(committed=9, quarantined=1)), "warn", "Complete, with quarantine"),
        (report(step(), cases=LOST), "warn", "Complete, with missing predictions"),
        (report(step(committed=8, quarantined=1)), "bad", "The counts don't add up"),
        (report(step(committed=11)), "bad", "The counts don't add up"),
        (report(step(state="interrupted")), "bad", "Not finished"),
    ],
)
def test_verdict(made: Report, tone: str, headline: str) -> None:
    assert made.verdict[:2] == (tone, headline)


def test_verdict_counts_cases_not_rows() -> None:
    assert "1 case without" in report(step(), cases=LOST).verdict[2]
    assert "1 input is in quarantine" in report(step(committed=9, quarantined=1)).verdict[2]


def refusal(source: str, code: str, reason: str = "r", sample: str = "", files: int = 1) -> dict:
    return asdict(Refusal(source, code, reason, sample, files))


def test_refusals_are_grouped_by_code_and_counted_once_per_input() -> None:
    rows = [
        refusal("s1", "tilt", "18.5°", files=28),
        refusal("s2", "tilt", "18.5°", files=14),
        refusal("s3", "tilt", "3°", files=9),
        refusal("s4", "truncated"),
    ]
    tilt, truncated = group_refusals("ct", rows)
    assert (tilt.code, tilt.inputs, tilt.files) == ("tilt", 3, 51)
    assert list(tilt.reasons) == [("18.5°", 2), ("3°", 1)]
    assert (truncated.inputs, truncated.sources) == (1, ["s4"])


def test_many_sources_are_cut_and_counted() -> None:
    (group,) = group_refusals("ct", [refusal(f"s{i:03d}", "tilt") for i in range(60)])
    assert (len(group.sources), group.more, group.inputs) == (50, 10, 60)
