"""The page: one HTML file from a Report, with nothing loaded from elsewhere."""

import base64
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medray.report.content import Report
from medray.report.curves import training_curves
from medray.report.figures import draw
from medray.report.volumes import PLANES, ends, fingerprint, packed, script, told
from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS
from medray.tasks.section import Figure, Table

_BAD = ("no-prediction", "failed", "interrupted")
_GOOD = ("scored", "complete")
_UNREMARKABLE = ("absent",)


def render(report: Report) -> str:
    """The whole page as HTML.

    Everything that isn't a figure made here is escaped, whoever named it.
    """
    sections = [*report.sections, *(scores.section for scores in report.scores)]
    template = environment_of().get_template("page.html.j2")
    return template.render(
        report=report,
        curves=[training_curves(one.history, one.directions) for one in report.trainings],
        stages=list(dict.fromkeys(name for step in report.steps for name in step.stages)),
        definitions=list(dict.fromkeys(one for found in sections for one in found.definitions)),
        drawn=_drawn,
        script=_script(any(one.volumes for one in sections)),
        planes=PLANES,
        few=_few,
        tone_of=_tone,
    )


def environment_of() -> Environment:
    """Where pages are made: the templates of this room, escaping on, an unknown name an error."""
    environment = Environment(
        loader=PackageLoader("medray.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["tabular"] = lambda part: isinstance(part, Table)
    environment.tests["wide"] = lambda part: isinstance(part, Figure) and part.kind == "trace"
    environment.filters |= {"fixed": _fixed, "duration": _duration, "data_uri": _data_uri}
    environment.filters |= {"packed": packed, "told": told, "ends": ends}
    return environment


def _script(needed: bool) -> Mapping[str, Markup]:
    """The script that draws volumes and what allows it to run; nothing where there are none."""
    if not needed:
        return {}
    found = {"source": script(), "allowed": fingerprint()}
    return {name: Markup(text) for name, text in found.items()}  # noqa: S704 - our own


def _drawn(figure: Figure) -> Markup:
    return Markup(draw(figure))  # noqa: S704 - made by figures.py


def _tone(status: str) -> str:
    if status in _GOOD:
        return "good"
    if status in _UNREMARKABLE:
        return "plain"
    return "bad" if status in _BAD else "warn"


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def _few(estimate: Mapping[str, Any]) -> str:
    """How few subjects stand behind a value, where they are too few for an interval."""
    count = estimate.get("subjects", LEAST_SUBJECTS)
    if estimate["value"] is None or count >= LEAST_SUBJECTS:
        return ""
    return f"{count} subject" + ("s" if count != 1 else "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode()
