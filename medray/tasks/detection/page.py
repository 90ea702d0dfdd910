"""What a page shows of detections."""

from dataclasses import replace
from typing import TYPE_CHECKING

from medray.tasks.section import ScoredCases, Section

if TYPE_CHECKING:
    from medray.tasks.detection import Detection


def section(plain: Section, scores: ScoredCases, task: "Detection") -> Section:
    """The section."""
    return replace(plain)
