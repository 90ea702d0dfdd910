"""What all steps of a job have. One YAML document is one step; see `medray.spec.kinds`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from medray.spec.base import Name, Settings

Where = dict[str, str | int | float | bool | list[str] | list[int]]
Engine = Annotated[
    Literal["data", "serve"],
    Field(description="a pool of Ray Data's, or the replicas that serve the model"),
]
"""Who does the units of a step that has a `model`, whose operation can adopt a loaded one."""


class Policy(Settings):
    """How much may go wrong. No part of a step's identity."""

    error_budget: float = Field(
        0.05, ge=0, le=1, description="share of the inputs that may be quarantined"
    )
    max_attempts: int = Field(
        3, ge=1, description="deaths of a unit before it goes input by input, and of an input then"
    )
    unit_timeout_s: float = Field(1800, gt=0, description="a unit that takes longer is killed")


class StepSpec(Settings):
    """A step as a document says it; each kind of step has one of its own."""

    # Where, how fast and how tolerantly a step runs is not what it makes.
    incidental: ClassVar[frozenset[str]] = frozenset({"policy", "cluster", "tracking"})

    kind: str
    output: Name | None
    policy: Policy = Policy.model_construct()
    cluster: str | None = Field(None, description="profile to run on; --cluster wins over it")
    tracking: Literal["mlflow"] | None = Field(
        None, description="who is told of settings and metrics besides"
    )

    @property
    def output_name(self) -> str:
        """Of the dataset or model that it makes."""
        return str(self.output)

    @classmethod
    def kept(cls) -> frozenset[str]:
        """Fields, dotted below the first, whose values stand in storage afterwards.

        No variable may stand there: names, and what describes a model or a dataset.
        """
        return frozenset(cls.model_fields) - cls.incidental - {"kind"}

    def identity(self) -> dict[str, Any]:
        """Everything about the step that decides what it makes, JSON-able."""
        return self.model_dump(mode="json", exclude=set(self.incidental))
