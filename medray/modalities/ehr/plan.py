"""What training and prediction need to know of sequences of events."""

from typing import Literal

from pydantic import Field

from medray.modalities.plan import Plan

CODES, HOURS = "codes", "hours"


class RecordPlan(Plan):
    """The plan of a training on sequences of events."""

    modality: Literal["ehr"] = "ehr"
    names: tuple[str, ...] = Field(description="of codes, from number 2 on; 1 is any other")

    @property
    def vocabulary(self) -> int:
        """Numbers of codes, that of no event among them."""
        return len(self.names) + 2
