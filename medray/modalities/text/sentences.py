"""Where the sentences of a text begin and end."""

import re
from collections.abc import Iterable

_ENDS = re.compile(
    r"(?<=[.!?])[\"')\]]*\s+(?=(?:[-*•]\s+)?[\"'(\[]?[A-Z0-9])|"
    r"(?<=[a-z)\]%][.!?])(?=[A-Z][a-z])|(?<!\s)\s*\n\s*"
)  # blanks are looked at from their first on, else a run of them takes its length squared
_SHORT = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|vs|fig|no|st|approx|e\.g|i\.e|et al|ca|resp|incl|spp?)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_BEFORE = 12  # characters that tell an abbreviation


def sentences(text: str, together: Iterable[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """First and last characters of sentences, in order; between two of them is blank.

    Args:
        text: of a document.
        together: stretches that no end of a sentence parts.
    """
    kept = list(together)
    cuts = []
    for one in _ENDS.finditer(text):
        before = text[max(0, one.start() - _BEFORE) : one.start()]
        if "\n" not in one[0] and _SHORT.search(before):
            continue
        if any(begin < one.end() and one.start() < end for begin, end in kept):
            continue
        cuts.append((one.start(), one.end()))
    begins = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(text)]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]
