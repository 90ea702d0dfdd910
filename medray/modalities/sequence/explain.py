"""What a network of sequences looks at: attention, gradients and mutations, base by base."""

from typing import Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from medray.errors import SpecError
from medray.formats.genomics.alphabet import PAD
from medray.modalities.ask import forward
from medray.models.base import Network
from medray.models.sequence.tokens import BASES, one_hot

How = Literal["attention", "gradients", "mutagenesis"]
STEPS = 32  # of the path that gradients are summed along
TOGETHER = 256  # sequences in one pass


class Attending(Protocol):
    """A network that weighs the bases of a sequence itself (`Network.attends`)."""

    def attend(self, tokens: Tensor) -> Tensor:
        """The weight of each base, float (B, L), of tokens uint8 (B, L)."""


def attribute(network: Network, tokens: Tensor, how: How, chosen: Tensor) -> np.ndarray:
    """How much each base of each sequence has to do with the answer, float32 (B, tracks, L).

    The answer is a logit of each sequence.

    - attention: what the network itself weighs each base with; sums to 1. One track.
    - gradients: integrated gradients (Sundararajan et al. 2017) from a sequence without any base,
      by captum; they sum to the difference of the two answers. One track.
    - mutagenesis: the answer with that base put in its place, less the answer as it is: tracks A,
      C, G and T. The base that is there has 0, and is not computed.

    Args:
        network: in eval mode; answers for whole sequences.
        tokens: uint8 (B, L), on the network's device; PAD has 0.
        how: see above.
        chosen: which logit, int64 (B,).

    Raises:
        SpecError: attention is asked of a network that has none (code "no-attention").
    """
    if how == "attention":
        if not network.attends:
            raise SpecError(
                "the network has no attention",
                code="no-attention",
                about=type(network).__name__,
                hint="train one that has, or ask for gradients",
            )
        with torch.inference_mode():
            weights = cast("Attending", network).attend(tokens)
        return weights[:, None].float().cpu().numpy()
    made = _gradients if how == "gradients" else _mutations
    return made(network, tokens, chosen)


def _gradients(network: Network, tokens: Tensor, chosen: Tensor) -> np.ndarray:
    from captum.attr import IntegratedGradients

    there = (tokens != PAD)[:, None]
    inputs = one_hot(tokens)[0]
    method = IntegratedGradients(lambda x: cast("Tensor", network(x)).float())
    # cuDNN's recurrences have no backward pass in eval mode.
    with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
        found: Tensor = method.attribute(
            inputs.requires_grad_(), target=chosen, n_steps=STEPS, internal_batch_size=TOGETHER
        )
    track: np.ndarray = (found.detach() * there).sum(1, keepdim=True).float().cpu().numpy()
    return track


def _mutations(network: Network, tokens: Tensor, chosen: Tensor) -> np.ndarray:
    effects = torch.zeros(len(tokens), BASES, tokens.shape[1])
    for at, (own, target) in enumerate(zip(tokens, chosen.tolist(), strict=True)):
        before = forward(network, own[None]).float()[0, target]
        bases = torch.arange(BASES, device=own.device, dtype=own.dtype)[:, None]
        base, place = torch.nonzero((bases != own) & (own != PAD), as_tuple=True)
        for start in range(0, len(place), TOGETHER):
            some = slice(start, start + TOGETHER)
            changed = own.repeat(len(place[some]), 1)
            changed[torch.arange(len(changed)), place[some]] = base[some].to(own.dtype)
            after = forward(network, changed).float()[:, target]
            effects[at, base[some].cpu(), place[some].cpu()] = (after - before).cpu()
    return effects.numpy()
