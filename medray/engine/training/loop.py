"""The training loop: torch only. Alone, under torchrun and under Ray Train it is this one.

Batches, dropout, learning rate and stopping are functions of the step, so a run that resumes from a
checkpoint repeats, on the CPU and with as many threads, what it would have done, bit by bit.
"""

import copy
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medray.allocator import keep_freed_memory
from medray.data.batch import Batch
from medray.data.order import share
from medray.engine.training.averaging import Average
from medray.engine.training.curve import History
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.ranks import World
from medray.engine.training.rate import best_of, should_stop
from medray.engine.training.setup import Parts, TrainSetup, assemble
from medray.engine.training.tensors import (
    gather_network,
    gather_optimiser,
    load_network,
    load_optimiser,
)
from medray.engine.training.validate import validate
from medray.errors import FatalError, SpecError
from medray.faults import point
from medray.log import event
from medray.models.precision import check_precision

CURVE_STEPS = 10  # losses meet over the ranks so often: one small message in ten steps
AVERAGE = "average"  # the network that the average is, and its file
FP16_WARMUP = 20  # steps that loss scaling may skip at the start: it halves from 2^16


@dataclass(frozen=True)
class TrainResult:
    """What came out of a training; the same on every rank.

    Args:
        step: steps that were done.
        epochs: epochs that were begun.
        stopped: "finished" or "early".
        metrics: of the validation whose weights are taken; empty without validation.
        checkpoint: folder of the checkpoint that holds these weights.
        weights: their file in it.
        rows: the history (medray.engine.training.curve).
    """

    step: int
    epochs: int
    stopped: str
    metrics: dict[str, float]
    checkpoint: str
    weights: str
    rows: list[dict[str, Any]]


def fit(setup: TrainSetup, world: World) -> TrainResult:
    """Train, or go on where the run's newest checkpoint stands; a finished run returns at once.

    Args:
        setup: what to train.
        world: the ranks; every one of them calls this.

    Raises:
        SpecError: the setup does not fit together.
        FatalError: the loss is NaN or Inf in several steps on end (code "loss-diverged").
    """
    keep_freed_memory()
    return _Training(setup, world, assemble(setup, world)).run()


def outcome(setup: TrainSetup) -> TrainResult:
    """What the newest checkpoint of a run says of it.

    Raises:
        SpecError: the run has no checkpoint (code "no-checkpoint").
    """
    checkpoints = setup.checkpoints
    found = checkpoints.newest(only={"history"})
    if found is None:
        raise SpecError("the run has no checkpoint", code="no-checkpoint", about=setup.run)
    history = History(found.state["losses"])
    history.restore(found.tensors["history"], found.state["validations"])
    best, per_epoch = found.state["best"], int(found.state["epoch_steps"])
    step = found.step if best is None else int(best)
    validations = [row for row in history.validations if row["step"] == step]
    return TrainResult(
        step=found.step,
        epochs=-(-found.step // per_epoch),
        stopped="finished" if found.step == found.state["total"] else "early",
        metrics={k: v for row in validations for k, v in row.items() if k.startswith("val_")},
        checkpoint=next(path for at, path in checkpoints.committed() if at == step),
        weights=found.state["weights"],
        rows=history.rows(per_epoch),
    )


def weights_of(setup: TrainSetup, result: TrainResult) -> dict[str, Tensor]:
    """The weights that a training chose."""
    found = setup.checkpoints.read(result.checkpoint, only={result.weights})
    return found.tensors[result.weights]


class _Training:
    def __init__(self, setup: TrainSetup, world: World, parts: Parts) -> None:
        self.setup, self.world, self.parts = setup, world, parts
        settings = self.settings = setup.settings
        self.task, self.objective = parts.task, parts.objective
        check_precision(settings.precision, world.device, self.objective.networks.values())
        share(setup.batch_size, world.rank, world.size)
        networks = self.objective.networks
        self.average: Average | None = None
        self.kept = networks | self.objective.followers  # by their files in a checkpoint
        self.weights = self.objective.gives
        if settings.ema is not None:
            shadow = copy.deepcopy(networks[MODEL])
            if settings.strategy == "fsdp":
                world.shard(shadow)
            self.average = Average(shadow, settings.ema)
            self.kept[AVERAGE] = shadow
            self.weights = AVERAGE if self.weights == MODEL else self.weights
        optimisers = {name: self.objective.optimiser(name, settings.optimiser) for name in networks}
        self.hands = Hands(world, settings, setup.batch_size, networks, optimisers)
        self.history = History(self.objective.losses)
        self.checkpoints = setup.checkpoints
        self.epoch_steps = settings.steps_per_epoch or parts.loader.order.steps_per_pass
        self.total = settings.epochs * self.epoch_steps
        stopping = settings.early_stopping
        self.metric = (stopping.metric if stopping else "") or self.task.metric
        self.higher = self.task.metric_of(self.metric).higher_is_better
        self.stopping = stopping and stopping.model_copy(update={"metric": self.metric})
        # A step's seconds are all since the step before, or since the validation in between.
        self._idle_since = 0.0
        self._pending: list[tuple[float, float, list[Tensor]]] = []
        self._bad: list[Batch] = []

    def run(self) -> TrainResult:
        done = self._restore()
        for network in self.objective.networks.values():
            network.train()
        self._idle_since = time.perf_counter()
        if done < self.total and not self._ended():
            for batch in self.parts.loader.batches(done, self.total):
                self._step(batch)
                done = batch.step + 1
                point("train.step")
                if self._after(done):
                    break
        self.world.total(torch.zeros(1))  # rank 0 has saved when the others come here
        return outcome(self.setup)

    def _step(self, batch: Batch) -> None:
        hands = self.hands
        lr = hands.begin(batch.step, self.total)
        losses = self.objective.step(batch, hands)
        hands.scaler.update()
        if hands.finite:
            if self.average is not None:
                self.average.follow(self.objective.networks[MODEL], batch.step)
            self.objective.follow(batch.step)
        now = time.perf_counter()
        found = [losses[name].cpu() for name in self.history.names]
        self._pending.append((lr, now - self._idle_since, found))
        self._idle_since = now
        self._watch(batch, hands.finite)

    def _watch(self, batch: Batch, finite: bool) -> None:
        if finite:
            self._bad.clear()
            if len(self._pending) >= CURVE_STEPS:
                self._meet()
            return
        self._bad.append(batch)
        allowance = FP16_WARMUP if self.settings.precision == "fp16" else 0
        losses = self._meet()
        if len(self._bad) < self.settings.nan_patience + allowance:
            return
        hint = "lower the learning rate, or clip; the last checkpoint is sound"
        told = f"no finite gradient in {len(self._bad)} steps up to step {batch.step}"
        if self.objective.by_task:
            draws = self.parts.loader.order.batch_at(batch.step)
            spoilt = [
                self.parts.ids[draw.sample]
                for draw, spoils in zip(draws, ~losses[-1, 0].isfinite(), strict=True)
                if spoils
            ]
            named = spoilt or [self.parts.ids[draw.sample] for draw in draws]
            told += f"; samples of the last: {', '.join(named[:8])}"
            hint = f"look at these samples, {hint}"
        raise FatalError(told, code="loss-diverged", about=self.setup.run, hint=hint)

    def _meet(self) -> Tensor:
        """Losses of the pending steps, (steps, names, global batch), into every rank's history."""
        batch = self.setup.batch_size
        size = (len(self._pending), len(self.history.names), batch)
        rows = torch.zeros(size, dtype=torch.float64)
        mine = share(batch, self.world.rank, self.world.size)
        for index, (_, _, losses) in enumerate(self._pending):
            for name, values in enumerate(losses):
                rows[index, name, mine] = values.double()
        rows = self.world.total(rows)
        for (lr, seconds, _), row in zip(self._pending, rows, strict=True):
            self.history.add([float(one.mean()) for one in row], lr, seconds)
        self._pending.clear()
        return rows

    def _after(self, done: int) -> bool:
        """Validate, save and report where the step asks for it; True: stop."""
        settings = self.settings
        epoch, rest = divmod(done, self.epoch_steps)
        last, validated, improved = done == self.total, False, False
        if rest == 0 and (epoch % settings.validate_every == 0 or last):
            validated = self._validate(done, epoch)
        validations = self.history.validations
        stop = validated and self._ended()
        if validated:
            improved = self._best() == done
        every = settings.checkpoint_every
        due = rest == 0 if every is None else done % every == 0
        if due or improved or last or stop:
            self._save(done)
        if rest == 0:
            if self._pending:
                self._meet()
            metrics: dict[str, Any] = dict(validations[-1]) if validated else {}
            metrics |= {"epoch": epoch, "step": done, "loss": self.history.loss}
            if self.world.rank == 0:
                event("epoch", **metrics)
            self.world.report(metrics)
        if rest == 0 or due:
            self._idle_since = time.perf_counter()
        return stop

    def _validate(self, done: int, epoch: int) -> bool:
        if self.parts.held_out is None:
            return False
        judged = self.kept[self.weights]
        self.world.align(judged)
        metrics = validate(
            judged,  # type: ignore[arg-type]
            self.parts.held_out,
            self.parts.modality,
            self.task,
            self.setup.plan,
            self.world,
            precision="fp32" if self.settings.precision == "fp32" else "bf16",
            together=self.settings.strategy == "fsdp",
        )
        if self.metric not in metrics:
            raise SpecError(
                f"there is no metric {self.metric!r}",
                code="unknown-metric",
                about="early_stopping",
                hint=f"one of {', '.join(metrics)}",
            )
        # JSON knows no NaN: what is undefined is left out.
        kept = {name: value for name, value in metrics.items() if not math.isnan(value)}
        self.history.validations.append({"epoch": epoch - 1, "step": done, **kept})
        return True

    def _ended(self) -> bool:
        rows = self.history.validations
        return should_stop(rows, self.stopping, higher_is_better=self.higher)

    def _best(self) -> int | None:
        if self.settings.select == "last" or not self.objective.by_task:
            return None
        rows = self.history.validations
        best = best_of(rows, self.metric, higher_is_better=self.higher)
        return None if best is None else int(rows[best]["step"])

    def _save(self, done: int) -> None:
        if self._pending:
            self._meet()
        tensors = {name: gather_network(network) for name, network in self.kept.items()}
        for name, optimiser in self.hands.optimisers.items():
            tensors[_file_of(name)] = gather_optimiser(self.kept[name], optimiser)
        tensors["history"] = self.history.tensors()
        if self.world.rank:
            return
        state = {
            "validations": self.history.validations,
            "losses": self.history.names,
            "weights": self.weights,
            "scaler": self.hands.scaler.state_dict(),
            "epoch_steps": self.epoch_steps,
            "total": self.total,
            "best": self._best(),
        }
        self.checkpoints.save(done, tensors, state)
        self.checkpoints.prune(self.settings.keep, self._best())

    def _restore(self) -> int:
        """Put the newest whole checkpoint in; returns the steps that were done."""
        found = self.checkpoints.newest() if self.world.rank == 0 else None
        step = self.world.from_first(found.step if found else 0)
        if not step:
            return 0
        if found is None:
            found = next(
                one
                for at, path in reversed(self.checkpoints.committed())
                if at == step and (one := self.checkpoints.read(path))
            )
        for name, network in self.kept.items():
            load_network(network, found.tensors[name], found.path)
        for name, optimiser in self.hands.optimisers.items():
            load_optimiser(self.kept[name], optimiser, found.tensors[_file_of(name)])
        if self.settings.precision == "fp16":
            self.hands.scaler.load_state_dict(found.state["scaler"])
        self.history.restore(found.tensors["history"], found.state["validations"])
        event("resumed", run=self.setup.run, step=step, rank=self.world.rank)
        return step


def _file_of(network: str) -> str:
    """Where a checkpoint has the state of a network's optimiser."""
    return "optimiser" if network == MODEL else f"optimiser-{network}"
