"""What the loop lends an objective: its networks as they are to be called, gradients, updates.

Ranks, precision, clipping and the watch over NaN are here, once for all objectives.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from medray.data.order import seed_of, share
from medray.data.tree import Tree, map_tree
from medray.engine.training.freezing import Thaw
from medray.engine.training.optimiser import build_optimiser
from medray.engine.training.ranks import Gathered, World
from medray.engine.training.rate import learning_rate
from medray.engine.training.tensors import whole
from medray.spec.training import OptimiserSettings, TrainSettings

HALVES = (torch.float16, torch.bfloat16)
MODEL = "model"  # the network of the job, among those of an objective


class Hands:
    """Lent for a whole training; `finite`, `seed` and the learning rates are of the step at hand.

    Args:
        world: the ranks.
        settings: of the training.
        batch_size: of a step, over all ranks.
        networks: those that learn, by name; that of the job is the MODEL.
        optimisers: how each is optimised.
    """

    def __init__(
        self,
        world: World,
        settings: TrainSettings,
        batch_size: int,
        networks: Mapping[str, nn.Module],
        optimisers: Mapping[str, OptimiserSettings],
    ) -> None:
        self.world, self._settings, self.batch_size = world, settings, batch_size
        self._raw = networks
        later = {MODEL} if any(one.until for one in settings.freeze) else set()
        self._called = {
            name: world.wrap(network, settings.strategy, thaws=name in later)
            for name, network in networks.items()
        }
        # After the networks were wrapped: their parameters may be others now.
        rates = {MODEL: settings.rates}
        self.optimisers = {
            name: build_optimiser(network, optimisers[name], rates.get(name, {}))
            for name, network in networks.items()
        }
        self._thaw = Thaw(networks[MODEL], settings.freeze) if later else None
        self._peaks = {name: chosen.lr for name, chosen in optimisers.items()}
        self._clip_norm = settings.clip_norm or math.inf
        self._half = settings.precision != "fp32"
        fp16 = settings.precision == "fp16"
        self._dtype = torch.float16 if fp16 else torch.bfloat16
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=fp16)
        # Gradients are averaged over ranks; a rank's share may be one sample larger than
        # another's, so each sample is weighted by the global batch, not by its rank's.
        self._weight = world.size / batch_size
        self.own = share(batch_size, world.rank, world.size)
        """This rank's samples among those of the step."""
        self.finite = True
        """Whether all updates of the step were made."""
        self.seed = 0
        """Of whatever all ranks draw alike in the step."""
        self.done = 0.0
        """Share of the training that lies behind the step."""

    def begin(self, step: int, total: int) -> float:
        """Make ready for a step of `total`; returns the learning rate of the model."""
        # Dropout hangs on step and rank only, so no generator's state has to be kept.
        self.seed = seed_of(self._settings.seed, step)
        seed = seed_of(self._settings.seed, step, self.world.rank)
        if self.world.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # the line below takes 0.4 ms on a CPU
        else:
            torch.manual_seed(seed)
        self.finite = True
        self.done = step / total
        if self._thaw is not None:
            self._thaw.begin(step * self._settings.epochs // total)
        rates = {}
        for name, optimiser in self.optimisers.items():
            rates[name] = learning_rate(step, total, self._peaks[name], self._settings.schedule)
            for group in optimiser.param_groups:
                group["lr"] = rates[name] * group["factor"]
        return rates[MODEL]

    @contextmanager
    def part(self, name: str, *, last: bool) -> Iterator[nn.Module]:
        """Around forward and backward of one part of a step by a network that learns.

        Args:
            name: of the network, which is given as it is to be called.
            last: gradients meet over the ranks after this part.
        """
        called = self._called[name]
        with self.world.synchronised(called, last=last):
            yield called

    @contextmanager
    def frozen(self, name: str) -> Iterator[nn.Module]:
        """Around forward passes through a network that learns in another part of the step: to
        gradients it is a function like any other."""
        network = self._raw[name]
        learnt = [one for one in network.parameters() if one.requires_grad]
        for one in learnt:
            one.requires_grad_(False)
        try:
            yield network
        finally:
            for one in learnt:
                one.requires_grad_(True)

    def gather(self, tree: Tree) -> Tree:
        """What all ranks have, (global batch, …) of (samples of this rank, …), in their order;
        this rank's are the rows `own`.

        Gradients come back: a rank may compute any function of all rows, as the losses of its own
        samples among all. Every rank has to take part.
        """

        def gathered(tensor: Tensor) -> Tensor:
            whole = tensor.float() if tensor.dtype in HALVES else tensor  # gloo sends no bfloat16
            rows: Tensor = Gathered.apply(whole, self.world, self.batch_size)  # type: ignore[no-untyped-call]
            return rows

        return map_tree(gathered, tree)

    def spread(self, values: Tensor, total: int) -> Tensor:
        """What is known of other samples than the batch's, over the batch's: one number for each
        of this rank's samples, whose mean over the global batch is the mean of all values.

        Args:
            values: (n,), those of this rank, of which gradients come back.
            total: how many all ranks have.
        """
        own = self.own.stop - self.own.start
        even: Tensor = values.sum() * (self.batch_size / (total * own))
        return even.expand(own)

    def autocast(self) -> AbstractContextManager[None]:
        """Around a forward pass, in the training's precision; losses are left outside."""
        return torch.autocast(self.world.device.type, self._dtype, enabled=self._half)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of the global batch's mean loss, as far as these samples have part.

        Args:
            loss: of some of this rank's samples, one number each.
        """
        mean = loss.sum() * self._weight
        self.scaler.scale(mean).backward()  # type: ignore[no-untyped-call]

    def update(self, name: str) -> None:
        """Apply a network's gradients unless they are NaN or Inf, which every rank sees alike.

        After an update that was not made, the others of its step are left out too.
        """
        optimiser = self.optimisers[name]
        self.scaler.unscale_(optimiser)
        learnt = [one for group in optimiser.param_groups for one in group["params"]]
        norm = nn.utils.clip_grad_norm_(learnt, self._clip_norm)
        self.finite = bool(torch.isfinite(whole(norm))) and self.finite
        if self.finite:
            self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)
