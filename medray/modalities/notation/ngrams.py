"""The floor of generation: which token follows the last few, as counted in the training texts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from medray.modalities.notation.tokens import BOUNDARY, split

ORDER = 5  # tokens of a gram, the one that is drawn among them


class Ngrams:
    """Counted, without smoothing: what is drawn was seen behind the same ORDER - 1 tokens.

    Args:
        texts: to learn from.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text in texts:
            context = (BOUNDARY,) * (ORDER - 1)
            for token in (*split(text), BOUNDARY):
                counts[context][token] += 1
                context = (*context[1:], token)
        self._following = {
            context: (list(found), np.cumsum(list(found.values())))
            for context, found in counts.items()
        }

    def draw(self, count: int, longest: int, seed: int) -> Iterator[str | None]:
        """Texts; None of one that does not end within `longest` tokens."""
        generator = np.random.default_rng(seed)
        for _ in range(count):
            context = (BOUNDARY,) * (ORDER - 1)
            tokens: list[str] = []
            for chance in generator.random(longest + 1):
                known, sums = self._following[context]
                token = known[int(sums.searchsorted(chance * sums[-1], side="right"))]
                if token == BOUNDARY:
                    break
                tokens.append(token)
                context = (*context[1:], token)
            yield "".join(tokens) if token == BOUNDARY else None
