"""What can be said of tables: which files, which columns, how they belong together."""

from typing import Literal, Self

from pydantic import Field, model_validator

from medray.formats.base import FormatOptions
from medray.formats.table.features import Written

FEATURES = "features"
OWN = frozenset(
    ["sample_id", "subject", "split", "fold", "target", "class_name", "has_label", "_shard", "_row"]
)


class TableOptions(FormatOptions):
    """How to read and write tables."""

    file: Literal["parquet", "csv"] = Field("csv", description="kind of file that is written")
    tables: dict[str, str] = Field(
        {},
        description="name of an array → its table below the source, where samples have several; "
        "{part} in it stands for each of `parts`. Empty: every table is one of `features`",
    )
    rows: str = Field("", description="table of what is known of samples: targets, subjects …")
    feature_names: dict[str, str] = Field(
        {}, description="name of an array → file with the names of its features, one a line"
    )
    parts: dict[str, str] = Field(
        {},
        description="part in the tables' names → split of its samples, e.g. tr: train; of HDF5 "
        "files that are no `tables` their groups",
    )
    join: Literal["id", "order"] = Field(
        "id", description="rows of several tables belong together by their ids, or as they come"
    )
    header: bool = Field(
        True, description="the first line names the columns; else they are called 0, 1, …"
    )
    transposed: bool = Field(
        False, description="a line per feature, whose name comes first, and a column per sample"
    )
    id: str | None = Field(
        None, description="column with the sample's id; null: the file's name and the row's number"
    )
    target: str | tuple[str, ...] | None = Field(
        None, description="column that is to be predicted, or several"
    )
    classes: tuple[str, ...] = Field(
        (), description="names in the target column, as 0, 1, …; empty: it holds numbers"
    )
    subject: str | None = Field(
        None, description="column whose equal values never part; null: the sample's id"
    )
    split: str | None = Field(None, description="column with the sample's split")
    fold: str | None = Field(None, description="column with the number of the sample's fold")
    columns: dict[str, Literal["text", "integer", "number"]] = Field(
        {}, description="further columns to keep beside the features, and what they hold"
    )
    decimal: Literal[".", ","] = Field(
        ".", description="of numbers in texts; where it is a comma, no number has a point"
    )
    values: dict[str, float | None] = Field(
        {}, description='texts that stand for numbers, or null: for none, {"<5": 2.5, "#N/A": null}'
    )
    categories: dict[str, tuple[str, ...]] = Field(
        {},
        description="feature that holds words → all words that it may hold, a column of 0 and 1 "
        "each, of two the second alone; ARFF says them itself",
    )
    unseen: Literal["refuse", "column"] = Field(
        "refuse", description="a word that is none of these: its row is refused, or a column more"
    )
    numbers: tuple[str, ...] = Field(
        (), description="features that ARFF calls nominal and whose values are numbers"
    )
    drop: tuple[str, ...] = Field((), description="columns that are neither features nor kept")
    missing: Literal["keep", "refuse"] = Field(
        "keep", description="a feature without a value is NaN, or its sample is refused"
    )
    max_features: int = Field(5_000_000, gt=0, description="refuse wider tables")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        several = list(self.tables.values()) + ([self.rows] if self.rows else [])
        if self.rows and not self.tables:
            raise ValueError("`rows` goes with `tables`")
        if any(("{part}" in name) != bool(self.parts) for name in several):
            raise ValueError("`parts` and {part} in the names of all `tables` go together")
        if set(self.feature_names) - set(self.tables or {FEATURES: ""}):
            raise ValueError("`feature_names` names an array that is none of `tables`")
        if clash := (set(self.categories) | set(self.numbers)) & self.known:
            raise ValueError(f"columns that are no features: {', '.join(sorted(clash))}")
        if any(len(set(words)) < len(words) for words in self.categories.values()):
            raise ValueError("`categories` has a word twice")
        if set(self.columns) & OWN:
            raise ValueError(f"columns that have a meaning of their own: {', '.join(sorted(OWN))}")
        if self.transposed and not self.tables and (self.target or self.subject or self.columns):
            raise ValueError("a transposed table has features only; name another by `rows`")
        if self.several and self.join == "id" and self.id is None and not self.transposed:
            raise ValueError("tables are joined by `id`: name its column, or join them by order")
        if self.classes and isinstance(self.target, tuple):
            raise ValueError("`classes` goes with one target")
        return self

    @property
    def several(self) -> bool:
        """Whether rows of several tables make one sample."""
        return len(self.tables) + bool(self.rows) > 1

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns that are to be predicted."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def written(self) -> Written:
        """How texts write numbers."""
        return Written(self.decimal, self.values)

    @property
    def known(self) -> frozenset[str]:
        """Columns that are no features."""
        single = (self.id, self.subject, self.split, self.fold)
        named = {name for name in single if name is not None}
        return frozenset({*named, *self.targets, *self.columns, *self.drop})
