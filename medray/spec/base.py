"""What all models of the spec share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$", description="a-z, 0-9, . _ -")]
Reference = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,127}(@[0-9a-f]{6,64})?$",
        description="name (the newest version) or name@version",
    ),
]


class Settings(BaseModel):
    """Frozen, and unknown keys are refused: a typing error must not become a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Plugin(BaseModel):
    """A format, model or task by name, with its options beside the name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The options as written, not yet checked."""
        return dict(self.__pydantic_extra__ or {})
