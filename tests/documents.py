"""Small documents that can be learnt from: drugs that end alike, and one verb that relates them."""

from typing import Any

import numpy as np

from medray.storage.shards.samples import Sample

DRUGS = [
    f"{start}{end}" for start in ("ab", "cor", "lem", "nux", "pil") for end in ("mycin", "olol")
]
OTHERS = [*"abcdefghijkl", "the", "was", "given", "with"]


def documents(count: int, seed: int = 0) -> list[Sample]:
    """Every third is of `test`, every seventh of `val`. Of each sentence all drugs are marked, and
    the first raises the second where "raises" stands between them."""
    chance = np.random.default_rng(seed)
    made = []
    for number in range(count):
        spans: list[dict[str, Any]] = []
        links: list[dict[str, Any]] = []
        text = ""
        for _ in range(1 + number % 3):
            raises, first = bool(chance.integers(2)), len(spans)
            words = list(chance.choice(OTHERS, 6))
            words[1], words[3] = (str(one) for one in chance.choice(DRUGS, 2))
            words[2] = "raises" if raises else "and"
            words[0] = words[0].title()
            for at, word in enumerate(words):
                if at in (1, 3):
                    span = {"begin": len(text), "end": len(text) + len(word), "type": "DRUG"}
                    spans.append({**span, "parts": []})
                text += word + (". " if at == 5 else " ")
            if raises:
                links.append({"type": "RAISES", "first": first, "second": first + 1})
        split = "test" if number % 3 == 0 else "val" if number % 7 == 0 else "train"
        row = {
            "subject": f"s{number:03d}",
            "split": split,
            "text": text,
            "spans": spans,
            "relations": links,
            "label": "related" if links else "apart",
            "summary": " ".join(text[one["begin"] : one["end"]] for one in spans),
        }
        made.append(Sample(f"d{number:03d}", row))
    return made
