"""What all steps of a job have. One YAML document is one step; see `medray.spec.kinds`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from medray.spec.base import Name, Settings


def _plain(value: object) -> object:
    """A value as it is, or what is wrong with it said once instead of for each type."""
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, str | int | float | bool | None):
            raise ValueError(  # noqa: TRY004 - what pydantic takes
                "is no word, number, true, false or null, nor a list of these"
            )
    return value


Value = str | int | float | bool | None
Where = dict[str, Annotated[Value | list[Value], BeforeValidator(_plain)]]
"""Which samples: column: value, or any of several; null: those without a value."""

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
