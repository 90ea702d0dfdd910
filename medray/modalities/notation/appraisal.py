"""What is said of drawn molecules: shares, distributions, neighbours, and n-grams' beside them.

Shares alone prove little: n-grams without any chemistry reach them too, so theirs stand beside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.data.order import seed_of
from medray.modalities.notation import chemistry
from medray.modalities.notation.chemistry import MEASURES, PROPERTIES, Print
from medray.modalities.notation.looks import look
from medray.modalities.notation.ngrams import ORDER, Ngrams
from medray.modalities.notation.plan import Notation
from medray.tasks.metric import Metric
from medray.tasks.section import Figure, Picture, Section, Table, Tile

SOME = 2000  # molecules whose properties and neighbours are looked at: QED takes a millisecond
AMONG = 50_000  # training molecules that neighbours are looked for among, at most
SHOWN = 12  # molecules that are drawn
BINS = 30  # of a property's distribution
LEAST_UNIQUE = 0.5  # share of valid molecules below which the model has collapsed
MODEL, FLOOR, TRAINING = "model", f"{ORDER}-grams", "training part"
SELFIES = f"{FLOOR} of SELFIES"
ORDERED = (MODEL, FLOOR, SELFIES, TRAINING)

METRICS: Mapping[str, Metric] = {
    "valid": Metric("valid", headline=True),
    "unique": Metric("unique", headline=True),
    "novel": Metric("novel", headline=True),
    "product": Metric("valid, unique and novel", headline=True),
    "distance": Metric("W1/sd, mean", higher_is_better=False, headline=True),
    "nearest": Metric("nearest neighbour", headline=True),
    "qed": Metric("QED, mean", headline=True),
    "diversity": Metric("internal diversity"),
    "clean": Metric("without PAINS"),
    **{
        f"distance_{name}": Metric(f"W1/sd of {label}", higher_is_better=False)
        for name, (label, _) in PROPERTIES.items()
    },
}
MEANT = (
    "Valid: RDKit reads it; unique: different canonical forms among the valid; novel: of these, "
    "none of the training part. Their product is the share of all that is drawn which is a new "
    f"molecule. The rest is of {SOME} valid molecules, chosen at random: W1/sd is Wasserstein's "
    "distance of a property's distribution from that of the training part, in its deviations; the "
    "nearest neighbour is the mean of the largest Tanimoto similarities (Morgan, radius 2, 2048 "
    "bits) to a training molecule other than itself; internal diversity is 1 less the mean "
    f"similarity of pairs. {FLOOR}: the next token as counted behind the {ORDER - 1} before it, "
    "which knows no chemistry."
)


@dataclass(frozen=True)
class _Looked:
    """Some molecules, looked at closely."""

    texts: list[str]
    values: dict[str, np.ndarray]
    prints: list[Print]
    clean: float


def appraise(
    drawn: Sequence[str | None],
    texts: Sequence[str],
    longest: int,
    seed: int,
    notation: Notation = "smiles",
    selfies: Sequence[str] = (),
) -> dict[str, Any]:
    """Metrics of drawn molecules and of the floor's, and what a page needs.

    Args:
        drawn: canonical form of each; None where it is no molecule.
        texts: that the model learnt from.
        longest: tokens of a text of the floor at most.
        seed: of what is chosen at random, and of the floor.
        notation: of the texts.
        selfies: of the same molecules, which have a floor of their own; none: there is none.
    """
    learnt = dict.fromkeys(
        text for text in look(texts, notation=notation).canonical if text is not None
    )
    floors = {FLOOR: (texts, notation, 1)}
    if selfies:
        floors[SELFIES] = selfies, "selfies", 7
    groups = {MODEL: drawn}
    for name, (some, form, salt) in floors.items():
        written = list(Ngrams(some).draw(len(drawn), longest, seed_of(seed, salt)))
        groups[name] = look(written, notation=form).canonical
    known = list(learnt)
    among = [known[at] for at in _chosen(len(known), seed_of(seed, 3), AMONG)]
    seen = zip(among, look(among, prints=True).prints, strict=True)
    there = {text: one for text, one in seen if one is not None}
    others = list(there.values())
    place = {text: number for number, text in enumerate(there)}
    reference = _look([known[at] for at in _chosen(len(known), seed_of(seed, 2))])
    pairs = zip(reference.texts, reference.prints, strict=True)
    beside = [(one, place[text]) for text, one in pairs if text in place]
    found: dict[str, dict[str, float | None]] = {
        TRAINING: {
            **_of(reference),
            "nearest": _mean(
                chemistry.nearest([one for one, _ in beside], others, [at for _, at in beside])
            ),
        }
    }
    looked = {TRAINING: reference}
    for salt, (name, group) in enumerate(groups.items(), 4):
        valid = [text for text in group if text is not None]
        some_valid = _chosen(len(valid), seed_of(seed, salt))
        looked[name] = _look([valid[at] for at in some_valid])
        found[name] = {
            **_shares(group, set(learnt)),
            **_of(looked[name]),
            **_distances(looked[name], reference),
            "nearest": _mean(chemistry.nearest(looked[name].prints, others)),
        }
    model, flat = found[MODEL], {f"floor_{name}": one for name, one in found[FLOOR].items()}
    new = [text for text in dict.fromkeys(drawn) if text is not None and text not in learnt]
    return {
        "metrics": {name: one for name, one in {**model, **flat}.items() if one is not None},
        "summary": {
            "drawn": len(drawn),
            "found": found,
            "curves": _curves(looked),
            "shown": new[:SHOWN],
            "cautions": _cautions(model),
        },
    }


def _chosen(count: int, seed: int, most: int = SOME) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=seed))
    return np.sort(generator.permutation(count)[:most])


def _look(texts: Sequence[str]) -> _Looked:
    """Of canonical texts; RDKit need not read again all that it wrote."""
    found = look(texts, list(MEASURES), prints=True)
    there = [(at, one) for at, one in enumerate(found.prints) if one is not None]
    rows = [at for at, _ in there]
    values = dict(zip(MEASURES, found.values[rows].T, strict=True))
    clean = float(values["clean"].mean()) if rows else 0.0
    return _Looked([texts[at] for at in rows], values, [one for _, one in there], clean)


def _shares(drawn: Sequence[str | None], learnt: set[str]) -> dict[str, float | None]:
    valid = [text for text in drawn if text is not None]
    unique = set(valid)
    new = unique - learnt
    return {
        "valid": len(valid) / len(drawn),
        "unique": len(unique) / len(valid) if valid else None,
        "novel": len(new) / len(unique) if unique else None,
        "product": len(new) / len(drawn),
    }


def _of(looked: _Looked) -> dict[str, float | None]:
    there = bool(looked.prints)
    return {
        "qed": _mean(looked.values["qed"]),
        "diversity": chemistry.diversity(looked.prints) if there else None,
        "clean": looked.clean if there else None,
    }


def _distances(looked: _Looked, reference: _Looked) -> dict[str, float | None]:
    if not looked.prints or not reference.prints:
        return {}
    each = {
        f"distance_{name}": chemistry.distance(looked.values[name], reference.values[name])
        for name in PROPERTIES
    }
    return {"distance": float(np.mean(list(each.values()))), **each}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _curves(looked: Mapping[str, _Looked]) -> dict[str, dict[str, list[list[float]]]]:
    """Of each property and each group of molecules the middles of bins and the shares in them."""
    curves: dict[str, dict[str, list[list[float]]]] = {}
    for name in PROPERTIES:
        groups = {group: one.values[name] for group, one in looked.items() if len(one.prints)}
        every = np.concatenate(list(groups.values())) if groups else np.zeros(1)
        edges = np.linspace(every.min(), every.max() + 1e-9, BINS + 1)
        middles = (edges[1:] + edges[:-1]) / 2
        curves[name] = {
            group: [middles.tolist(), (np.histogram(one, edges)[0] / len(one)).tolist()]
            for group, one in groups.items()
        }
    return curves


def _cautions(model: Mapping[str, float | None]) -> list[str]:
    unique = model["unique"]
    if unique is None:
        return ["nothing that was drawn is a molecule"]
    if unique < LEAST_UNIQUE:
        return [f"the model has collapsed: {unique:.1%} of its valid molecules are different ones"]
    return []


def section(name: str, summary: dict[str, Any]) -> Section:
    """See Generation; `summary` is that of `appraise`."""
    found = summary["found"]
    columns = {"of": Metric("", kind="text"), **METRICS}
    rows = [{"of": group, **found[group]} for group in ORDERED if group in found]
    lines = {key: _table_of(key, columns, rows) for key in ("shares", "distributions")}
    panels = [("", chemistry.drawn(text)) for text in summary["shown"]]
    pictures = [Picture("drawn", "the first that are new", [], panels=panels)] if panels else []
    return Section(
        title=f"Molecules: {name}",
        tiles=[
            Tile(metric, found[MODEL].get(key), beside=_floor(found, key))
            for key, metric in METRICS.items()
            if metric.headline
        ],
        tables=list(lines.values()),
        figures=[
            Figure("line", label, {"label": label, "lines": summary["curves"][key]})
            for key, (label, _) in PROPERTIES.items()
        ],
        pictures=pictures,
        definitions=[MEANT],
        cautions=summary["cautions"],
    )


def _floor(found: Mapping[str, Mapping[str, float | None]], key: str) -> dict[str, float]:
    value = found[FLOOR].get(key)
    return {} if value is None else {FLOOR: value}


def _table_of(
    which: str, columns: Mapping[str, Metric], rows: Sequence[Mapping[str, Any]]
) -> Table:
    apart = {key: one for key, one in columns.items() if key.startswith("distance_")}
    chosen = (
        {"of": columns["of"], **apart}
        if which == "distributions"
        else {key: one for key, one in columns.items() if key not in apart}
    )
    own = [{key: row.get(key) for key in chosen} for row in rows]
    return Table(chosen, own if which == "shares" else own[:-1])
