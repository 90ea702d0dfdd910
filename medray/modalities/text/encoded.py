"""Texts as numbers, and batches of them as networks take them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from medray.data.tree import Tree, to_device
from medray.modalities.text.tokens import Codec, cut
from medray.models.text.base import PADDING
from medray.tasks.base import NO_LABEL


@dataclass(frozen=True)
class Encoded:
    """A text's tokens.

    Args:
        forms: numbers of its tokens as they are written, int32 (n,).
        begins: first characters of the tokens, int32 (n,).
        ends: those behind their last, int32 (n,).
        target: what is to be learnt of each token, uint8 (n,); None: nothing is known.
    """

    forms: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    target: np.ndarray | None = field(default=None)

    def __len__(self) -> int:
        return len(self.forms)


def encoded(text: str, codec: Codec, longest: int | None) -> Encoded:
    """A text as numbers.

    Args:
        text: of any length.
        codec: of the plan's vocabulary.
        longest: tokens that are read; None: all.
    """
    tokens, begins, ends = cut(text)
    some = slice(longest)
    return Encoded(
        codec.forms.number(tokens[some]),
        begins[some].astype(np.int32),
        ends[some].astype(np.int32),
    )


def encoded_all(texts: Sequence[str], codec: Codec, longest: int | None) -> list[Encoded]:
    """As `encoded`, of many texts: a line end between two of them parts tokens as well."""
    tokens, begins, behind = cut("\n".join(texts))
    forms = codec.forms.number(tokens)
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    owned = begins.searchsorted(starts)
    own = np.repeat(starts[:-1], np.diff(owned))
    begins, behind = (begins - own).astype(np.int32), (behind - own).astype(np.int32)
    made = []
    for first, last in pairwise(owned.tolist()):
        some = slice(first, last if longest is None else min(last, first + longest))
        made.append(Encoded(forms[some], begins[some], behind[some]))
    return made


def filled(rows: Sequence[np.ndarray], value: int) -> np.ndarray:
    """Rows of different lengths as one array (B, longest), which is one at least."""
    lengths = np.array([len(row) for row in rows], np.int64)
    there = np.arange(max(1, int(lengths.max(initial=0)))) < lengths[:, None]
    made = np.full(there.shape, value, rows[0].dtype if rows else np.int32)
    made[there] = np.concatenate([*rows, made[:0, 0]])
    return made


def words_tree(
    texts: Sequence[Encoded], codec: Codec, reads: Iterable[str], device: torch.device
) -> dict[str, Tree]:
    """Words and forms of texts, see medray.models.text.base."""
    lengths = np.array([len(one) for one in texts], np.int64)
    known = [one.forms for one in texts]
    forms = filled(known, 0)
    there = np.arange(forms.shape[1]) < lengths[:, None]
    words = np.where(there, codec.forms.words(forms), PADDING) if there.any() else forms * 0
    arrays: dict[str, np.ndarray] = {"words": words.astype(np.int32), "lengths": lengths}
    wanted = set(reads)
    if wanted & {"characters", "features"}:
        several, places = np.unique(forms, return_inverse=True)
        arrays["forms"] = places.reshape(forms.shape).astype(np.int32)
        if not there.any():
            several = codec.forms.number([" "])
        if "characters" in wanted:
            arrays["characters"] = codec.forms.characters(several)
        if "features" in wanted:
            arrays["features"] = codec.forms.features(several)
    return on(arrays, device)


def on(arrays: dict[str, np.ndarray], device: torch.device) -> dict[str, Tree]:
    """Arrays as tensors."""
    return {name: to_device(torch.from_numpy(one), device) for name, one in arrays.items()}


def targets_of(texts: Sequence[Encoded]) -> np.ndarray:
    """Targets of tokens, uint8 (B, longest), NO_LABEL behind a text's end."""
    none = np.zeros(0, np.uint8)
    return filled([none if one.target is None else one.target for one in texts], NO_LABEL)
