"""A network that draws samples, and learns from what those are worth that it has drawn itself."""

import copy
import hashlib
from typing import Any, ClassVar, Self, cast

import torch
from pydantic import Field, TypeAdapter, model_validator
from torch import Tensor, nn
from torch.nn import functional

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.objectives.base import Given, Objective, ObjectiveOptions
from medray.engine.training.objectives.reinforce.answers import Answers
from medray.errors import FatalError, SpecError
from medray.modalities import MODALITIES
from medray.modalities.base import Modality
from medray.modalities.generation import Generation, Verdict
from medray.models.base import Network
from medray.spec.base import Plugin, Reference
from medray.spec.check import check
from medray.spec.training import TrainSettings
from medray.tasks.base import NO_LABEL, Task

PRIOR = "prior"
NOTHING = 0  # the number of what is no sample


class ReinforceOptions(ObjectiveOptions):
    """Options of `reinforce`: what is rewarded, by `reward` or by a `model`, and how much."""

    models: ClassVar[tuple[str, ...]] = ("model",)

    reward: Plugin | None = Field(
        None, description="of line notations qed, or similarity with `to`: a SMILES"
    )
    model: Reference | None = Field(
        None, description="a trained model of molecules, whose answers are rewarded"
    )
    target: str | None = Field(None, description="which of its answers; null: the last")
    between: tuple[float, float] = Field(
        (0.0, 1.0), description="answers that are worth 0 and 1; those beyond are worth no more"
    )
    strength: float = Field(
        20.0, gt=0, description="nats that a reward of 1 is worth against the likelihood before"
    )
    least_unique: float = Field(
        0.5, ge=0, le=1, description="share of a step's samples that differ, or the training ends"
    )

    @model_validator(mode="after")
    def _one_reward(self) -> Self:
        if (self.reward is None) == (self.model is None):
            raise ValueError("give either a reward or a model")
        if self.between[0] == self.between[1]:
            raise ValueError("between: two different answers")
        return self


class Reinforce(Objective):
    """Policy gradients towards a reward, with the network as it began kept close (the prior).

    What a sample x is worth is strength * reward(x) - log p(x) / prior(x). Its mean over what the
    network draws is largest where p(x) is as prior(x) * exp(strength * reward(x)): the target of
    REINVENT (Olivecrona et al. 2017), whose loss has in the mean the same gradient. Gradients are
    those of REINFORCE (Williams 1992), from each worth the mean of the others' taken (Kool et al.
    2019).
    """

    name: ClassVar[str] = "reinforce"
    Options: ClassVar[type[ObjectiveOptions]] = ReinforceOptions
    losses: ClassVar[tuple[str, ...]] = ("loss", "reward", "nats_from_prior")
    accumulates: ClassVar[bool] = False
    one_network: ClassVar[bool] = False
    by_task: ClassVar[bool] = False

    def __init__(self, options: Any, given: Given) -> None:
        super().__init__(options, given)
        prior = copy.deepcopy(self.networks[MODEL]).eval().requires_grad_(False)
        self.followers[PRIOR] = prior
        self._plan = given.plan
        self._generation = _generation(given.task, type(self.networks[MODEL]), given.modality)
        self._reward = _reward(options, self._generation)
        self._answers: Answers | None = None
        if options.model is not None:
            self._answers = Answers(given.objects, options.model, options.target, options.between)

    @classmethod
    def accept(
        cls, options: Any, task: Task, network: type[Network], settings: TrainSettings
    ) -> None:
        """See Objective.

        Raises:
            SpecError: the samples can't be drawn or rewarded so (codes "objective-mismatch",
                "unknown-plugin", "bad-field"), or nothing draws them yet (code "no-prior").
        """
        _reward(options, _generation(task, network, MODALITIES.get(network.takes)()))
        if settings.first_model is None:
            raise SpecError(
                "a network with fresh weights draws nothing that could be rewarded",
                code="no-prior",
                about="init_from",
                hint="name a model that has learnt to draw in `train: init_from`",
            )

    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """See Objective."""
        network, device = cast("Network", self.networks[MODEL].eval()), hands.world.device
        rollout = self._generation.rollout(
            network, self._plan, hands.batch_size, hands.own, device, hands.seed
        )
        network.train()
        verdict = self._generation.verdict(rollout, self._plan, self._reward)
        self._look_out(verdict, batch.step, hands)
        rewards = torch.from_numpy(verdict.rewards).float().to(device)
        if self._answers:
            asked = [
                None if name is None else self._generation.asked(name) for name in verdict.names
            ]
            rewards = self._answers.worth(asked).to(device)
        part = rollout.part
        with hands.part(MODEL, last=True) as called:
            with hands.autocast():
                outputs = called(part.inputs)
                with torch.no_grad():
                    before = self.followers[PRIOR](part.inputs)
            nats, prior = (_nats(one, cast("Tensor", part.target)) for one in (outputs, before))
            apart = (prior - nats).detach()
            worth = self.options.strength * rewards - apart
            everyone = cast("Tensor", hands.gather(worth))
            others = (everyone.sum() - worth) / max(1, len(everyone) - 1)
            hands.backward((worth - others) * nats)
        hands.update(MODEL)
        made = (-worth, rewards, apart)
        return dict(zip(self.losses, made, strict=True))

    def _look_out(self, verdict: Verdict, step: int, hands: Hands) -> None:
        """End a training whose network draws the same again and again.

        Raises:
            FatalError: it does (code "collapsed"); every rank sees it alike.
        """
        own = torch.tensor([_number(name) for name in verdict.names], device=hands.world.device)
        everyone = cast("Tensor", hands.gather(own))
        there = everyone[everyone != NOTHING]
        share = len(torch.unique(there)) / max(1, len(there))
        if len(there) and share < self.options.least_unique:
            raise FatalError(
                f"the network has collapsed: of what it draws in step {step} {share:.0%} differ",
                code="collapsed",
                about=self.name,
                hint="lower `strength` or the learning rate; the last checkpoint is sound",
            )


def _generation(task: Task, network: type[nn.Module], modality: Modality) -> Generation:
    found = modality.generation()
    if (
        found is None
        or found.answers != task.answers
        or not (found.rewards and found.draws(network, likely=True))
    ):
        raise SpecError(
            f"models of {task.name} by this network draw nothing that is rewarded",
            code="objective-mismatch",
            about=Reinforce.name,
            hint="take the objective supervised",
        )
    return found


def _reward(options: ReinforceOptions, generation: Generation) -> Any:
    """Options of the reward; None where a model is asked."""
    if options.reward is None:
        return None
    kind = generation.rewards.get(options.reward.name)
    if kind is None:
        raise SpecError(
            f"there is no reward {options.reward.name!r}",
            code="unknown-plugin",
            about="reward",
            hint=f"one of {', '.join(sorted(generation.rewards))}",
        )
    about = ".".join
    return check(TypeAdapter(kind), options.reward.options, lambda *at: about(("reward", *at)))


def _nats(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each sample, (B,), of logits (B, vocabulary, L) and tokens (B, L)."""
    wanted = target.long()
    each = functional.cross_entropy(
        outputs.float(), wanted, ignore_index=NO_LABEL, reduction="none"
    )
    return each.sum(1)


def _number(name: str | None) -> int:
    """Of a sample's name, 63 bits."""
    if name is None:
        return NOTHING
    raw = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") >> 1
