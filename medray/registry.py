"""Plugins by name, loaded when asked for. A plugin is one file and one line in a registry."""

import difflib
import importlib
import importlib.metadata
from typing import Any, Generic, TypeVar, cast

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

    def __contains__(self, name: str) -> bool:
        """Whether it can be asked for. The packages that are installed, which takes some 20 ms, are
        looked through only for a name that does not ship with medray."""
        outside = importlib.metadata.entry_points
        return name in self._known or bool(outside(group=self.group, name=name))

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
        return cast("type[T]", load(target, f"{self.group}, {name}"))


def load(target: str, about: str) -> Any:
    """What "module:Class" says.

    Args:
        target: of a plugin.
        about: whose it is, for errors.

    Raises:
        SpecError: a library that it stands on is not installed (code "missing-extra").
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise lacking(error, about) from error
