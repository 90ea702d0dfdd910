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
from torch import Tensor, nn

from medray.allocator import keep_freed_memory
from medray.data.order import seed_of, share
from medray.engine.training.averaging import Average
from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.curve import History
from medray.engine.training.ranks import World
from medray.engine.training.rate import best_of, learning_rate, should_stop
from medray.engine.training.setup import Parts, TrainSetup, assemble, build_optimiser, memory_format
from medray.engine.training.tensors import (
    gather_network,
    gather_optimiser,
    load_network,
    load_optimiser,
    whole,
)
from medray.engine.training.validate import validate
from medray.errors import FatalError, SpecError
from medray.faults import point
from medray.log import event
from medray.modalities.base import Batch

CURVE_STEPS = 10  # losses meet over the ranks so often: one small message in ten steps
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
        rows: the history (medray.engine.training.curve).
    """

    step: int
    epochs: int
    stopped: str
    metrics: dict[str, float]
    checkpoint: str
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
    checkpoints = Checkpoints(setup.objects, f"{setup.run}/checkpoints")
    found = checkpoints.newest(only={"history"})
    if found is None:
        raise SpecError("the run has no checkpoint", code="no-checkpoint", about=setup.run)
    history = History()
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
        rows=history.rows(per_epoch),
    )


class _Training:
    def __init__(self, setup: TrainSetup, world: World, parts: Parts) -> None:
        self.setup, self.world, self.parts = setup, world, parts
        settings = self.settings = setup.settings
        self.task, self.network = parts.task, parts.network
        device = world.device.type
        if settings.precision == "fp16" and device != "cuda":
            raise SpecError(
                "fp16 needs a GPU", code="fp16-needs-cuda", hint="set precision to bf16 or fp32"
            )
        share(setup.batch_size, world.rank, world.size)
        self.average: Average | None = None
        if settings.ema is not None:
            shadow = copy.deepcopy(self.network)
            if settings.strategy == "fsdp":
                world.shard(shadow)
            self.average = Average(shadow, settings.ema)
        self.wrapped = world.wrap(self.network, settings.strategy)
        self.optimiser = build_optimiser(self.network, settings.optimiser)
        self.scaler = torch.amp.GradScaler(device, enabled=settings.precision == "fp16")
        self.history = History()
        self.checkpoints = Checkpoints(setup.objects, f"{setup.run}/checkpoints")
        self.epoch_steps = settings.steps_per_epoch or parts.loader.order.steps_per_pass
        self.total = settings.epochs * self.epoch_steps
        stopping = settings.early_stopping
        self.metric = (stopping.metric if stopping else "") or self.task.metric
        self.higher = self.task.metric_of(self.metric).higher_is_better
        self.stopping = stopping and stopping.model_copy(update={"metric": self.metric})
        # A step's seconds are all since the step before, or since the validation in between.
        self._idle_since = 0.0
        self._pending: list[tuple[float, float, Tensor]] = []
        self._bad: list[Batch] = []

    def run(self) -> TrainResult:
        done = self._restore()
        self.network.train()
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
        settings, world = self.settings, self.world
        # Dropout hangs on step and rank only, so no generator's state has to be kept.
        torch.manual_seed(seed_of(settings.seed, batch.step, world.rank))
        lr = learning_rate(batch.step, self.total, settings.optimiser.lr, settings.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        inputs = batch.inputs
        if settings.channels_last and inputs.ndim > 3:
            inputs = inputs.contiguous(memory_format=memory_format(inputs.ndim - 2))
        chunks = inputs.chunk(settings.accumulate)
        targets = batch.target.chunk(settings.accumulate)
        losses = []
        for index, (some, target) in enumerate(zip(chunks, targets, strict=True)):
            with world.synchronised(self.wrapped, last=index == len(chunks) - 1):
                with torch.autocast(
                    world.device.type, self._dtype, enabled=settings.precision != "fp32"
                ):
                    outputs = self.wrapped(some)
                loss = self.task.loss(outputs, target)
                losses.append(loss.detach())
                # Gradients are averaged over ranks; a rank's share may be one sample larger than
                # another's, so each sample is weighted by the global batch, not by its rank's.
                part = loss.sum() * (world.size / self.setup.batch_size)
                self.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
        finite = self._update(batch.step)
        self.optimiser.zero_grad(set_to_none=True)
        now = time.perf_counter()
        self._pending.append((lr, now - self._idle_since, torch.cat(losses).cpu()))
        self._idle_since = now
        self._watch(batch, finite)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float16 if self.settings.precision == "fp16" else torch.bfloat16

    def _update(self, step: int) -> bool:
        """Apply the gradients unless they are NaN or Inf, which every rank then sees alike."""
        self.scaler.unscale_(self.optimiser)
        learnt = [one for group in self.optimiser.param_groups for one in group["params"]]
        norm = nn.utils.clip_grad_norm_(learnt, self.settings.clip_norm or math.inf)
        finite = bool(torch.isfinite(whole(norm)))
        if finite:
            self.scaler.step(self.optimiser)
            if self.average is not None:
                self.average.follow(self.network, step)
        self.scaler.update()
        return finite

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
        draws = self.parts.loader.order.batch_at(batch.step)
        spoilt = [
            self.parts.ids[draw.sample]
            for draw, loss in zip(draws, losses[-1].tolist(), strict=True)
            if not math.isfinite(loss)
        ]
        named = spoilt or [self.parts.ids[draw.sample] for draw in draws]
        raise FatalError(
            f"no finite gradient in {len(self._bad)} steps up to step {batch.step}; samples of the "
            f"last: {', '.join(named[:8])}",
            code="loss-diverged",
            about=self.setup.run,
            hint="look at these samples, lower the learning rate, or clip; the last checkpoint is "
            "sound",
        )

    def _meet(self) -> Tensor:
        """Losses of the pending steps, (steps, global batch), into the history of every rank."""
        rows = torch.zeros(len(self._pending), self.setup.batch_size, dtype=torch.float64)
        mine = share(self.setup.batch_size, self.world.rank, self.world.size)
        for index, (_, _, losses) in enumerate(self._pending):
            rows[index, mine] = losses.double()
        rows = self.world.total(rows)
        for (lr, seconds, _), row in zip(self._pending, rows, strict=True):
            self.history.add(float(row.mean()), lr, seconds)
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
        if validated and settings.select == "best":
            improved = self._best() == done
        every = settings.checkpoint_every
        due = rest == 0 if every is None else done % every == 0
        if due or improved or last or stop:
            self._save(done)
        if rest == 0:
            if self._pending:
                self._meet()
            metrics: dict[str, Any] = dict(validations[-1]) if validated else {}
            metrics |= {"epoch": epoch, "step": done, "loss": self.history.losses[-1]}
            if self.world.rank == 0:
                event("epoch", **metrics)
            self.world.report(metrics)
        if rest == 0 or due:
            self._idle_since = time.perf_counter()
        return stop

    def _validate(self, done: int, epoch: int) -> bool:
        if self.parts.held_out is None:
            return False
        judged = self.average.network if self.average else self.network
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
        if self.settings.select == "last":
            return None
        rows = self.history.validations
        best = best_of(rows, self.metric, higher_is_better=self.higher)
        return None if best is None else int(rows[best]["step"])

    def _save(self, done: int) -> None:
        if self._pending:
            self._meet()
        tensors = {
            "model": gather_network(self.network),
            "optimiser": gather_optimiser(self.network, self.optimiser),
            "history": self.history.tensors(),
        }
        if self.average is not None:
            tensors["average"] = gather_network(self.average.network)
        if self.world.rank:
            return
        state = {
            "validations": self.history.validations,
            "scaler": self.scaler.state_dict(),
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
        load_network(self.network, found.tensors["model"], found.path)
        load_optimiser(self.network, self.optimiser, found.tensors["optimiser"])
        if self.average is not None:
            load_network(self.average.network, found.tensors["average"], found.path)
        if self.settings.precision == "fp16":
            self.scaler.load_state_dict(found.state["scaler"])
        self.history.restore(found.tensors["history"], found.state["validations"])
        event("resumed", run=self.setup.run, step=step, rank=self.world.rank)
        return step
