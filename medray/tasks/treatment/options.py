"""What can be said of a treatment and of its outcome."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medray.tasks.base import TaskOptions


class EffectOptions(TaskOptions):
    """What can be chosen of a task of treatment effects."""

    outcome: str | tuple[str, str] = Field(
        "target", description="column; of simulations two, without and with treatment, of "
        "which only the one that was given is learnt"
    )  # fmt: skip
    treatment: str = Field("treatment", description="column of 0 and 1")
    truth: tuple[str, str] | None = Field(
        None, description="columns with the expected outcomes without and with treatment, "
        "which simulations know; scored by, never learnt"
    )  # fmt: skip
    counterfactual: str = Field(
        "", description="column with the outcome under the other treatment, in place of `truth`"
    )
    pseudo: str = Field(
        "", description="column of pseudo-outcomes: the network answers the effect alone"
    )
    dropouts: Literal["refuse", "weigh"] = Field(
        "refuse", description="samples without an outcome are refused, or those with one weigh "
        "by the inverse of their chance to be observed"
    )  # fmt: skip
    balanced: bool = Field(
        True, description="both arms count the same in the loss of outcomes (Shalit et al. "
        "2017), however many samples each has"
    )  # fmt: skip
    propensity_weight: float = Field(
        1.0, ge=0, description="of the propensity's loss; that of outcomes is 1 per variance"
    )
    trim: float = Field(
        0.0, ge=0, lt=0.5, description="cases whose propensity is nearer to 0 or 1 are left "
        "out of estimates, and counted"
    )  # fmt: skip
    covariates: tuple[str, ...] = Field(
        (), description="names of the features in order, for the table of balance"
    )
    placebo: float | None = Field(
        None, gt=0, lt=1, description="the treatment is drawn anew for this share of samples, "
        "by their ids: it has no effect, and intervals should hold 0"
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.truth is not None and self.counterfactual:
            raise ValueError("give `truth` or `counterfactual`")
        if self.placebo is not None and (self.pseudo or not isinstance(self.outcome, str)):
            raise ValueError("a placebo has one `outcome`, and no `pseudo`")
        return self
