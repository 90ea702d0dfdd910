"""What can be said of the gate."""

from typing import Literal

from pydantic import Field

from medray.formats.signal.deidentify import Deidentify


class Phi(Deidentify):
    """How identifiers leave text; `method: none` for text that is public or de-identified."""

    names: str = Field(
        "", description="file of names of the site's people, one a line, beside the built-in ones"
    )
    dates: Literal["month first", "day first"] = Field(
        "month first", description="how 3/4/2021 is read"
    )
