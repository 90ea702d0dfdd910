"""The contract of a network: built from options, fed with a batch, answers with logits."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medray.errors import SpecError
from medray.spec.base import Settings

Logits = Tensor | list[Tensor]
Answers = Literal[
    "sample", "place", "objects", "curve", "text", "surprise", "spans", "links", "extract",
    "generated", "image", "restored",
]  # fmt: skip


class ModelOptions(Settings):
    """Base of a network's options: frozen, unknown keys refused."""

    planned: ClassVar[frozenset[str]] = frozenset()
    """Options that the plan sets from the data and the task, unless the job does."""


class Network(nn.Module, ABC):
    """A network of medray. What `forward` takes and answers with depends on `takes`:

    - "image": see `image.base.ImageNetwork`.
    - "sequence": tokens uint8 (B, L), or bases one-hot (B, 4, L), see `sequence.tokens`. The
      answer is (B, out_channels), or (B, out_channels, L) with the option `per_base`.
    - "molecule": a tree, see `molecule.base`. The answer is (B, out_channels).
    - "notation": tokens uint8 (B, L), see `notation.base`. The answer is (B, vocabulary, L).
    - "pair": a tree, see `pair.base`. The answer is (B, out_channels).
    - "ehr": a tree, see `ehr.base`. The answer is (B, out_channels).
    - "signal": a tree, see `signal.base`. The answer is (B, out_channels).
    - "slide": a tree, see `slide.base`. The answer is (B, out_channels).
    - "text": a tree, see `text.base`, and there what it answers.
    - "table": float32 (B, in_channels), the features of all modalities beside each other, NaN
      where a sample lacks a modality. The answer is (B, out_channels).
    """

    Options: ClassVar[type[ModelOptions]]

    takes: ClassVar[str]
    """Modality of the samples it takes."""

    attends: ClassVar[bool] = False
    """Whether it weighs the bases of a sequence itself, and can say how."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample", "place"})
    """Whether it answers for whole samples, for every voxel or base of them, or for either."""

    @classmethod
    @abstractmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """The network with fresh weights, drawn from torch's global generator.

        Args:
            options: an instance of this class's `Options`.
            in_channels: channels of an image, leads of a signal, features of a row (of all
                modalities together); sequences have 4, one per base.
            out_channels: classes or targets.
            patch: size it will be trained on, in voxels or (bases,); sets which axes are pooled
                and how often. None if unknown: then every axis is pooled at every level.

        Raises:
            SpecError: options and patch don't fit together.
        """

    def train(self, mode: bool = True) -> Self:
        """As in torch, but a frozen batch norm stays in evaluation mode: else its running
        statistics would follow the new data while its weights stay behind."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and not _learns(module):
                module.eval()
        return self


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def parts_of(names: Iterable[str], prefixes: Iterable[str], about: str = "") -> dict[str, set[str]]:
    """Those of a network's dotted names that begin with each of `prefixes`, by prefix.

    A prefix matches whole parts of a name: "encoder.1" matches "encoder.1.0.weight" and not
    "encoder.10.weight".

    Args:
        names: of parameters, or of all tensors.
        prefixes: to be looked for.
        about: what an error is about.

    Raises:
        SpecError: a prefix matches nothing (code "unknown-layer").
    """
    names, found = list(names), {}
    for prefix in prefixes:
        found[prefix] = {name for name in names if begins(name, prefix)}
        if not found[prefix]:
            raise SpecError(
                f"no parameter's name begins with {prefix!r}",
                code="unknown-layer",
                about=about,
                hint=f"the parts are {', '.join(dict.fromkeys(n.split('.')[0] for n in names))}",
            )
    return found


def begins(name: str, prefix: str) -> bool:
    """Whether a dotted name is `prefix`, or a part of it."""
    return name == prefix or name.startswith(f"{prefix}.")


def freeze(network: Network, prefixes: Iterable[str]) -> int:
    """Stop the training of every parameter whose dotted name begins with one of `prefixes`.

    Returns:
        How many parameters (tensors) were frozen.

    Raises:
        SpecError: a prefix matches nothing (code "unknown-layer").
    """
    named = dict(network.named_parameters())
    frozen = set[str]().union(*parts_of(named, prefixes, type(network).__name__).values())
    for name in frozen:
        named[name].requires_grad_(False)
    network.train(network.training)
    return len(frozen)
