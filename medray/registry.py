"""Plugins by name, loaded when asked for. A plugin is one file and one line in a registry."""

import difflib
import importlib
import importlib.metadata
from typing import Generic, TypeVar, cast

from medray.errors import SpecError
from medray.extras import lacking

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps a name to "module:Class" and imports on first use.

    Args:
        group: entry point group for outsiders, e.g. "medray.formats".
        known: what ships with medray.
    """

    def __init__(self, group: str, known: dict[str, str]) -> None:
        self.group = group
        self._known = known

    def names(self) -> list[str]:
        """Every name that can be asked for, sorted."""
        outside = importlib.metadata.entry_points(group=self.group)
        return sorted({*self._known, *(entry.name for entry in outside)})

    def get(self, name: str) -> type[T]:
        """The plugin class called `name`.

        Raises:
            SpecError: nothing is registered by that name (code "unknown-plugin"), or the library
                it stands on is not installed (code "missing-extra").
        """
        target = self._known.get(name)
        if target is None:
            for entry in importlib.metadata.entry_points(group=self.group, name=name):
                target = entry.value
        if target is None:
            near = difflib.get_close_matches(name, self.names(), n=1)
            raise SpecError(
                f"nothing called {name!r} is registered",
                code="unknown-plugin",
                about=self.group,
                hint=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(self.names())}",
            )
        module, _, attribute = target.partition(":")
        try:
            return cast("type[T]", getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError as error:
            raise lacking(error, f"{self.group}, {name}") from error
