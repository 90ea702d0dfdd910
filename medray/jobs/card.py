"""The model card: what a model is, what it was made of, what it must not be used for."""

from collections.abc import Mapping, Sequence

from medray.engine.plan import Plan
from medray.engine.train import TrainResult
from medray.spec.jobs import Train

_CARD = """# {name}

A {model} for {task}, trained by medray.

## Made of

{parents}
- {samples} training samples ({select}), validated on {validation}

## Training

- {steps} steps in {epochs} epochs ({stopped}), batch size {batch}, seed {seed}
- {optimiser}, learning rate {lr:g}, {schedule} schedule, precision {precision}

## Input

- {dims}-D, {channels} channels, patch {patch}
- classes: {classes}
{reasons}

## Validation

| metric | value |
|---|---|
{metrics}

## Limits

Validated on held-out samples of the same source only. This is not a medical device: do not use it
for diagnosis without validation on your own data and the approvals that your country asks for.
"""


def model_card(
    name: str, step: Train, plan: Plan, result: TrainResult, parents: Sequence[str]
) -> str:
    """A card in Markdown after Mitchell et al. 2019; the same training gives the same text."""
    settings = step.train
    metrics = [f"| {metric} | {value:.4f} |" for metric, value in sorted(result.metrics.items())]
    return _CARD.format(
        name=name,
        model=step.model.name,
        task=step.task.name,
        parents="\n".join(f"- {parent}" for parent in parents),
        samples=plan.samples,
        select=_where(step.select),
        validation=_where(step.validation),
        steps=result.step,
        epochs=result.epochs,
        stopped=result.stopped,
        batch=settings.batch_size or plan.batch_size,
        seed=settings.seed,
        optimiser=settings.optimiser.name,
        lr=settings.optimiser.lr,
        schedule=settings.schedule.name,
        precision=settings.precision,
        dims=plan.dims,
        channels=plan.in_channels,
        patch=" x ".join(str(size) for size in plan.patch),
        classes=", ".join(plan.classes),
        reasons="\n".join(f"- {field}: {why}" for field, why in sorted(plan.reasons.items())),
        metrics="\n".join(metrics) or "| none | |",
    )


def _where(select: Mapping[str, object]) -> str:
    return ", ".join(f"{column} = {value}" for column, value in select.items()) or "all samples"
