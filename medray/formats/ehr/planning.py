"""Which files are which tables of a mapping, and the inputs that they make."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from medray.errors import DataError, PassedOver, SpecError
from medray.formats.base import Input, Source, joined
from medray.formats.ehr.mapping import Mapping, TableRule
from medray.formats.ehr.tables import SUFFIXES, Sheet, sheet
from medray.formats.files import File, open_path, stem
from medray.ids import short
from medray.storage.shards.records import Refusal


@dataclass(frozen=True)
class Plan:
    """A mapping, and the files of each of its tables.

    Args:
        source: of the files.
        mapping: what their rows make.
        files: of each table, by its name.
        key: changes with how ids leave.
    """

    source: Source
    mapping: Mapping
    files: dict[str, list[File]]
    key: str

    def inputs(self, name: str, file: File, number: int) -> list[Input]:
        """The stretches of one file.

        Args:
            name: of its table.
            file: one of the table's.
            number: of the table in the mapping.

        Raises:
            SpecError: a column or a table that the mapping names is not there ("no-such-column",
                "no-such-table"), ids are floats ("float-id").
            DataError: it is no table; one with a header alone is PassedOver ("no-rows").
        """
        rule = self.mapping.tables[name]
        self.source.fetch(file.path)
        here = sheet(open_path(self.source, file.path))
        if here.bare():
            raise PassedOver("the table has a header and no rows", code="no-rows")
        own = _columns(rule)
        _check(here, name, own, [rule.subject, *rule.join.values()])
        joins = {other: self._join(name, rule, other) for other in rule.join}
        partners = [self.files[other][0] for other in rule.join]
        mapping = self.mapping
        about: dict[str, Any] = {
            "of": name,
            "number": number,
            "rule": rule.model_dump(mode="json", exclude_defaults=True),
            "columns": own,
            "joins": joins,
            "how": {"form": mapping.time_format, "decimal": mapping.decimal},
            "missing": list(mapping.missing),
        }
        stretches = here.stretches()
        self.source.drop(file.path)
        beside = [partner.fingerprint for partner in partners]
        return [
            Input(
                key=f"{file.path}:{one.row}",
                paths=(file.path, *(partner.path for partner in partners)),
                fingerprint=short([one.digest, beside, self.key]),
                size=file.size // len(stretches),
                stamp=joined([file.stamp, *(partner.stamp for partner in partners)]),
                extra={**about, "stretch": vars(one)},
            )
            for one in stretches
        ]

    def _join(self, name: str, rule: TableRule, other: str) -> list[Any]:
        """[column here, column of the key there, columns there]."""
        files = self.files[other]
        if len(files) != 1:
            raise SpecError(
                f"table {name!r} is joined by {other!r}, of which there are {len(files)} files",
                code="several-files" if files else "no-such-table",
                about=other,
                hint="one file holds all rows of a table that others are joined by",
            )
        key = self.mapping.tables[other].key
        wanted = list(dict.fromkeys(self.mapping.joined(name, other)))
        self.source.fetch(files[0].path)
        _check(sheet(open_path(self.source, files[0].path)), other, [key, *wanted], [key])
        self.source.drop(files[0].path)
        return [rule.join[other], key, wanted]


def assigned(
    mapping: Mapping, files: Iterable[File], refused: list[Refusal]
) -> dict[str, list[File]]:
    """The files of each table: by their names without endings, in letters of either case, below
    any folder; also with a number behind them, such as labs-001. Others are passed over.

    Raises:
        SpecError: a table that must be there has no file (code "no-such-table").
    """
    away = "".join(f"{one.source} was refused ({one.code}); " for one in refused[:3])
    called = {(rule.file or name).lower(): name for name, rule in mapping.tables.items()}
    found: dict[str, list[File]] = {name: [] for name in mapping.tables}
    others: list[str] = []
    for file in files:
        base = stem(file.path.rpartition("/")[2], SUFFIXES).lower()
        head, _, tail = base.replace("_", "-").rpartition("-")
        bare = base[: len(head)] if head and tail.isdigit() else base
        name = called.get(base) or called.get(bare)
        if name is None:
            others.append(base)
            error = PassedOver("a table that the mapping does not name", code="unmapped-table")
            refused.append(Refusal.of(file.path, error))
        else:
            found[name].append(file)
    needed = [name for name, rule in mapping.tables.items() if not rule.optional]
    for name in needed:
        if not found[name]:
            raise SpecError(
                f"table {name!r} of the mapping has no file",
                code="no-such-table",
                about=mapping.tables[name].file or name,
                hint=f"{away}files of other names: {', '.join(sorted(set(others))) or 'none'}; "
                "`file` gives a table's name, `optional: true` does without it",
            )
    if not any(found.values()):
        raise SpecError(
            "no file is one of the mapping's tables",
            code="no-such-table",
            hint=f"the mapping has {', '.join(mapping.tables)}; here are "
            f"{', '.join(sorted(set(others))) or 'none'}",
        )
    return found


def _columns(rule: TableRule) -> list[str]:
    """Of its own, that it is looked at for."""
    own = [column for column in rule.columns if "." not in column]
    return list(dict.fromkeys([*own, *rule.join.values()]))


def _check(file: Sheet, name: str, wanted: Sequence[str], ids: Sequence[str]) -> None:
    """The columns are there, and no id is a float.

    Raises:
        SpecError: see `Plan.inputs`.
        DataError: it is no table.
    """
    try:
        file.places(wanted)
    except DataError as error:
        if error.code not in ("no-such-column", "duplicate-column"):
            raise
        raise SpecError(
            f"table {name!r}: {error.message}", code=error.code, hint=error.hint
        ) from error
    for column in ids:
        if "." not in column and file.floats(column):
            raise SpecError(
                f"table {name!r}: the ids in column {column!r} are floats, of which two may have "
                "become one",
                code="float-id",
                hint="write them anew as whole numbers or text",
            )
