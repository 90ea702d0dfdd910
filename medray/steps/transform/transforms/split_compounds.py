"""Compounds into parts by a rule that looks at all of them: scaffolds, clusters, time, chance."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from medray.errors import SpecError
from medray.formats.molecules.graph import ARRAYS, FINGERPRINT
from medray.ids import fraction
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import InShard
from medray.tasks.metric import Metric
from medray.tasks.section import Section, Table

Groups = Sequence[Sequence[int]]
_BRACKETS = re.compile(r"\[[^\]]*\]")
_CLOSURE = re.compile(r"[0-9%]")


class SplitCompounds(Transformation):
    """Writes the column `split`; compounds with the same `canonical` are always in one part.

    Parts are filled in their order. Of groups (scaffolds, clusters) each goes to the first part
    that it still fits into, the last takes what is left, as in DeepChem's ScaffoldSplitter; the
    larger come first, and of two of a size the one whose first row comes later. On BBBP 763 of
    1,025 groups hold one compound, so that order decides what is tested.
    """

    class Options(TransformOptions):
        """The rule, and the parts."""

        rule: Literal["scaffold", "cluster", "time", "random", "given"] = Field(
            description="scaffold: groups of one scaffold; cluster: groups around a leader; time: "
            "the earliest first; random: by chance; given: as `column` says, and checked"
        )
        parts: dict[str, Annotated[float, Field(gt=0)]] = Field(
            min_length=1, description="name → share, in order: train: 0.8, val: 0.1, test: 0.1"
        )
        seed: int = 0
        acyclic: Literal["together", "alone"] = Field(
            "together",
            description="compounds without a ring are one scaffold, as in DeepChem; or each is",
        )
        similarity: float = Field(
            0.6, gt=0, le=1, description="Tanimoto of a compound and the leader of its cluster"
        )
        column: str = Field("", description="of the time, or of the part that is given")
        targets: tuple[str, ...] = Field((), description="shares are told of these")

        @model_validator(mode="after")
        def _fits(self) -> "SplitCompounds.Options":
            if (self.rule in ("time", "given")) != bool(self.column):
                raise ValueError("`column` goes with the rules `time` and `given`")
            return self

    name: ClassVar[str] = "split-compounds"
    whole: ClassVar[bool] = True
    options: Options

    @classmethod
    def needs(cls, options: Options, role: str = "") -> Needs:
        """Compounds, with what the rule asks for."""
        more = {"scaffold": ("scaffold",), "time": (options.column,), "given": (options.column,)}
        columns = names("canonical", more.get(options.rule), options.targets)
        arrays = (names(FINGERPRINT),) if options.rule == "cluster" else ()
        return Needs(arrays, columns, hint="see the options of `smiles` and `sdf`")

    @classmethod
    def arrays(cls, options: Options, using: frozenset[str]) -> Arrays:
        """Those of compounds."""
        return ARRAYS

    @classmethod
    def holds(cls, options: Options, using: frozenset[str]) -> Holds:
        """All that there was, and `split`."""
        return Holds(named(ARRAYS), splits=None if options.column else names(options.parts))

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """What is in each part."""
        found = attributes.get("split")
        return [] if found is None else [_section(name, found)]

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """The compound as it was, and its part."""
        row = {**sample.row, "split": self._parts[sample.row["canonical"]]}
        yield Sample(sample.id, row, {one: sample.array(one)[...] for one in sample.names})

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """Attribute `split`: the rule, what is in each part, and compounds that contradict."""
        options = self.options
        wanted = ["split", "canonical", *options.targets]
        if options.rule == "scaffold":
            wanted.insert(2, "scaffold")
        table = pa.concat_tables([shard.columns(wanted) for shard in shards])
        held = {name: np.array(table[name].to_pylist(), object) for name in wanted}
        targets = {
            name: np.array([np.nan if one is None else float(one) for one in held[name]])
            for name in options.targets
        }
        parts = []
        for part in dict.fromkeys([*options.parts, *held["split"].tolist()]):
            own = held["split"] == part
            told: dict[str, Any] = {"part": part, "rows": int(own.sum())}
            told["compounds"] = len(set(held["canonical"][own]))
            if "scaffold" in held:
                told["scaffolds"] = len(set(held["scaffold"][own]))
            for name, values in targets.items():
                there = values[own][~np.isnan(values[own])]
                told[f"{name}: measured"] = len(there)
                told[f"{name}: mean"] = float(there.mean()) if len(there) else None
            parts.append(told)
        conflicts = {name: _conflicts(held["canonical"], one) for name, one in targets.items()}
        return {"split": {"rule": self._rule(), "parts": parts, "conflicts": conflicts}}

    def _rule(self) -> str:
        options = self.options
        match options.rule:
            case "scaffold":
                alone = "each by itself" if options.acyclic == "alone" else "one scaffold"
                return f"by scaffold, largest first, ties by last first row; acyclic {alone}"
            case "cluster":
                return f"by clusters of Tanimoto {options.similarity:g} to their leader"
            case "random":
                return f"at random, seed {options.seed}"
        return f"{options.rule} by column {options.column}"

    @cached_property
    def _parts(self) -> dict[str, str]:
        """Part of each compound, by its canonical SMILES."""
        options = self.options
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(self.data.columns(["canonical"])["canonical"].to_pylist()):
            rows.setdefault(text, []).append(row)
        texts, members = [*rows], [*rows.values()]
        match options.rule:
            case "scaffold":
                return self._filled(self._scaffolds(texts, members), texts, members)
            case "cluster":
                return self._filled(self._clusters(members), texts, members)
            case "given":
                return self._given(texts, members)
            case "time":
                times = self._column()
                order = sorted(range(len(texts)), key=lambda n: min(times[r] for r in members[n]))
            case "random":
                order = sorted(range(len(texts)), key=lambda n: fraction(options.seed, texts[n]))
        return self._filled([[one] for one in order], texts, members, in_order=True)

    def _filled(
        self,
        groups: Groups,
        texts: Sequence[str],
        members: Groups,
        *,
        in_order: bool = False,
    ) -> dict[str, str]:
        """Parts filled by groups of compounds; `in_order`: one that is full stays so."""
        names, shares = [*self.options.parts], [*self.options.parts.values()]
        total = sum(map(len, members))
        cuts = np.cumsum(shares) / sum(shares) * total + 1e-9 * total
        filled, first, parts = [0] * len(names), 0, dict[str, str]()
        for group in groups:
            size = sum(len(members[one]) for one in group)
            fits = (n for n in range(first, len(names)) if sum(filled[: n + 1]) + size <= cuts[n])
            at = next(fits, len(names) - 1)
            first = at if in_order else 0
            filled[at] += size
            parts |= {texts[one]: names[at] for one in group}
        return parts

    def _scaffolds(self, texts: Sequence[str], members: Groups) -> Groups:
        scaffolds = self.data.columns(["scaffold"])["scaffold"].to_pylist()
        groups: dict[str, list[int]] = {}
        for one in range(len(texts)):
            scaffold = scaffolds[members[one][0]]
            if self.options.acyclic == "together" and not _has_ring(scaffold):
                scaffold = ""
            groups.setdefault(scaffold, []).append(one)
        return _largest_first([*groups.values()], members)

    def _clusters(self, members: Groups) -> Groups:
        """Leader clustering: a compound joins the first leader that it is like, or is one."""
        bits = np.zeros((len(members), 0), np.uint8)
        leaders: list[int] = []
        groups: list[list[int]] = []
        bits = self._bits([several[0] for several in members])
        counts = np.bitwise_count(bits).sum(1, dtype=np.int64)
        for one in range(len(members)):
            both = np.bitwise_count(bits[leaders] & bits[one]).sum(1, dtype=np.int64)
            either = counts[leaders] + counts[one] - both
            alike = np.flatnonzero(both >= self.options.similarity * np.maximum(either, 1))
            if len(alike):
                groups[alike[0]].append(one)
            else:
                leaders.append(one)
                groups.append([one])
        return _largest_first(groups, members)

    def _bits(self, rows: Sequence[int]) -> np.ndarray:
        """Fingerprints as bits, uint64 (rows, words)."""
        on: list[np.ndarray] = []
        for shard in self.data.shards:
            found = shard.ragged(FINGERPRINT)
            on += found.take(range(len(found)))
        width = 64 * (int(max((one.max(initial=0) for one in on), default=0)) // 64 + 1)
        bits = np.zeros((len(rows), width), bool)
        for at, row in enumerate(rows):
            bits[at, on[row]] = True
        return np.packbits(bits, axis=1).view(np.uint64)

    def _given(self, texts: Sequence[str], members: Groups) -> dict[str, str]:
        column = self._column()
        parts = {}
        for text, rows in zip(texts, members, strict=True):
            found = {str(column[row]) for row in rows}
            if len(found) > 1:
                raise SpecError(
                    f"equal compounds are in {' and '.join(sorted(found))}",
                    code="straddling-compounds",
                    about=self.options.column,
                    hint="divide anew by another rule, or select one part of them away",
                )
            parts[text] = found.pop()
        return parts

    def _column(self) -> list[Any]:
        column = self.options.column
        values: list[Any] = self.data.columns([column])[column].to_pylist()
        if None in values:
            raise SpecError(
                f"{values.count(None)} compounds say nothing in the column to divide by",
                code="nothing-to-divide",
                about=column,
                hint="select those away that do not",
            )
        return values


def _largest_first(groups: list[list[int]], members: Groups) -> Groups:
    def rank(group: Sequence[int]) -> tuple[int, int]:
        return sum(len(members[one]) for one in group), members[group[0]][0]

    return sorted(groups, key=rank, reverse=True)


def _has_ring(scaffold: str) -> bool:
    return _CLOSURE.search(_BRACKETS.sub("", scaffold)) is not None


def _conflicts(compounds: np.ndarray, values: np.ndarray) -> int:
    """How many compounds have several values that differ."""
    found: dict[str, set[float]] = {}
    for compound, value in zip(compounds, values.tolist(), strict=True):
        if value == value:
            found.setdefault(compound, set()).add(value)
    return sum(len(several) > 1 for several in found.values())


def _section(name: str, found: Mapping[str, Any]) -> Section:
    counted = {"part": Metric("part", kind="text")}
    for column in found["parts"][0]:
        if column != "part":
            mean = column.endswith(": mean")
            counted[column] = Metric(column, kind="number" if mean else "count")
    several = [f"{count} of {target}" for target, count in found["conflicts"].items() if count]
    note = f"Equal compounds with unequal values: {', '.join(several)}." if several else ""
    table = Table(counted, found["parts"], lead=f"Divided {found['rule']}.", note=note)
    return Section(title=f"Parts: {name}", tables=[table])
