"""What all models of the spec share."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$", description="a-z, 0-9, . _ -")]
Reference = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,127}(@[0-9a-f]{6,64})?$",
        description="name (the newest version) or name@version",
    ),
]


LONGEST = 10**9  # of what is a time: 31 years in seconds; timers of the system end soon after
MOST = 2**53  # of all other numbers: beyond it not every whole one is a float
_TIMES = ("_s", "_minutes", "_hours", "_days")


class Settings(BaseModel):
    """Frozen, and unknown keys are refused: a typing error must not become a default.

    Every number is finite, and none is so large that it can only be a mistake.

    A model is built when it is first used. So defaults that are models come by `model_construct`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @field_validator("*", mode="after")
    @classmethod
    def _bounded(cls, value: Any, info: ValidationInfo) -> Any:
        check_numbers(value, LONGEST if str(info.field_name).endswith(_TIMES) else MOST)
        return value


def check_numbers(value: Any, most: int = MOST) -> None:
    """Refuse numbers that are not finite, or beyond `most`, anywhere in plain values.

    Raises:
        ValueError: there is one.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            check_numbers(item, most)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("give a finite number")
    elif isinstance(value, int | float) and abs(value) > most:
        raise ValueError(f"give a number up to {most:,}")


class Plugin(BaseModel):
    """A format, model or task by name, with its options beside the name."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options as written, not yet checked."""
        return dict(self.__pydantic_extra__ or {})
