"""What a document sees while a job is checked: documents before it, storage, and its problems."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter

from medray.errors import SpecError
from medray.extras import need
from medray.formats import FORMATS
from medray.formats.base import Format
from medray.registry import Registry
from medray.spec.base import Plugin
from medray.spec.check import Fault, tried
from medray.spec.documents import place
from medray.spec.profiles import Cluster
from medray.steps.base.facts import Data, Model, stored_data, stored_model
from medray.storage.catalog.versions import check_name
from medray.storage.store.objects import Objects

T = TypeVar("T", Data, Model)
P = TypeVar("P")
Room = Literal["datasets", "models"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a job.

    Args:
        document: its number, from 1.
        field: path of the field, dotted.
        code: stable identifier of the cause.
        message: one sentence.
        hint: what would be right.
    """

    document: int
    field: str
    code: str
    message: str
    hint: str


def refuse(problems: Sequence[Problem], file: str) -> None:
    """Raise what is wrong with a job, if anything is.

    Raises:
        SpecError: with the code of the first; the message has all, a line each.
    """
    if not problems:
        return
    first, *others = problems
    told = "".join(
        f"\n  {place(file, one.document, one.field)}: {one.message} [{one.code}]"
        + (f" ({one.hint})" if one.hint else "")
        for one in others
    )
    more = f"; {len(others)} more of the job is wrong:{told}\n " if others else ""
    raise SpecError(
        first.message + more,
        code=first.code,
        about=place(file, first.document, first.field),
        hint=first.hint,
    )


@dataclass
class View:
    """The state of a check.

    Args:
        objects: the storage root.
        elsewhere: the job runs on another machine: its folders and libraries are not looked for.
    """

    objects: Objects
    elsewhere: bool = False
    number: int = 0
    profile: Cluster | None = None
    problems: list[Problem] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    later: dict[Room, dict[str, int]] = field(default_factory=dict)
    _data: dict[str, Data] = field(default_factory=dict)
    _models: dict[str, Model] = field(default_factory=dict)
    _makers: dict[str, tuple[int, Room]] = field(default_factory=dict)

    def add(self, path: str, code: str, message: str, hint: str = "") -> None:
        """Write down a problem with a field of the document at hand."""
        self.problems.append(Problem(self.number, path, code, message, hint))

    @contextmanager
    def at(self, *path: str) -> Iterator[None]:
        """What is raised inside is a problem of this field; the check goes on."""
        try:
            yield
        except SpecError as error:
            if not (self.elsewhere and error.code == "missing-extra"):
                self.add(".".join(path), error.code, error.message, error.hint)

    def plugin(
        self, registry: Registry[P], plugin: Plugin, path: str
    ) -> tuple[type[P], Any] | None:
        """A plugin's class and its checked options; None if there is a problem with it."""
        kind: Any = None
        with self.at(path, "name"):
            kind = registry.get(plugin.name)
        if kind is None:
            return None
        adapter: TypeAdapter[BaseModel] = TypeAdapter(kind.Options)
        options = tried(adapter, plugin.options)
        if isinstance(options, list):
            self.bad(options, path)
            return None
        return kind, options

    def format(self, plugin: Plugin) -> Format | None:
        """The format of field `format` with its options, if both can be."""
        found = self.plugin(FORMATS, plugin, "format")
        with self.at("format"):
            if found is not None:
                return found[0](found[1])
        return None

    def bad(self, faults: Sequence[Fault], *path: str) -> None:
        """Write down what is wrong with a value, below `path`."""
        for fault in faults:
            whole = ".".join(map(str, (*path, *fault.path)))
            self.add(whole, "bad-field", fault.message, fault.hint)

    def library(self, path: str, name: str) -> None:
        """Look for a library that only some steps take."""
        with self.at(path):
            need(name)

    def data(self, path: str, reference: str) -> Data:
        """The dataset that a field names; nothing is known of one that is not there."""
        return self._found("datasets", path, reference, self._data, stored_data) or Data()

    def model(self, path: str, reference: str) -> Model:
        """The model that a field names; nothing is known of one that is not there."""
        return self._found("models", path, reference, self._models, stored_model) or Model()

    def _found(
        self,
        room: Room,
        path: str,
        reference: str,
        made: dict[str, T],
        stored: Callable[[Objects, str], T],
    ) -> T | None:
        if reference in made:
            return made[reference]
        what = room.removesuffix("s")
        name = reference.partition("@")[0]
        try:
            return stored(self.objects, reference)
        except SpecError as error:
            hint = error.hint
            known = sorted({*made, *self.objects.folders(room)})
            near = difflib.get_close_matches(name, known, n=1)
            if name == reference and name in self.later.get(room, {}):
                hint = f"document {self.later[room][name]} makes it: put that before this one"
            elif near and near != [name]:
                hint = f"did you mean {near[0]!r}?"
            other: Room = "models" if room == "datasets" else "datasets"
            if self._makers.get(name, (0, ""))[1] == other:
                hint = f"document {self._makers[name][0]} makes a {other.removesuffix('s')} of it"
            code = error.code if error.code != "bad-name" else f"no-such-{what}"
            self.add(path, code, f"{error.message}: {reference}", hint)
            return None

    def makes(self, path: str, name: str, made: Data | Model) -> None:
        """Take down what the document makes, if its name is free."""
        room: Room = "models" if isinstance(made, Model) else "datasets"
        other: Room = "datasets" if room == "models" else "models"
        with self.at(path):
            check_name(name)
            number, before = self._makers.get(name, (0, room))
            if number:
                raise SpecError(
                    f"document {number} makes {name!r} too",
                    code="duplicate-output" if before == room else "taken-name",
                    hint="give each output a name of its own",
                )
            if self.objects.exists(f"{other}/{name}/HEAD"):
                raise SpecError(
                    f"{name!r} is the name of a {other.removesuffix('s')} in this storage",
                    code="taken-name",
                    hint="give it another name",
                )
        self._makers.setdefault(name, (self.number, room))
        if isinstance(made, Model):
            self._models.setdefault(name, made)
        else:
            self._data.setdefault(name, made)
