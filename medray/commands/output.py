"""What commands print: JSON for programs, tables for people. Standard output holds nothing else."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import click

from medray.errors import DataError

F = TypeVar("F", bound=Callable[..., Any])


def print_json(value: Any) -> None:
    """The one JSON object of `--json`."""
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; numbers to the right. Widths follow the content where there is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], int | float | None) for row in rows)
        side: Literal["left", "right"] = "right" if numbers and rows else "left"
        table.add_column(column, justify=side, no_wrap=side == "right", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=200)
    console.print(table)


def say_damaged(errors: Sequence[DataError]) -> None:
    """Say what could not be listed, after all that could, and end as the first of them does.

    Raises:
        DataError: there are any.
    """
    for error in errors[1:]:
        click.echo(f"medray: {error}", err=True)
    if errors:
        raise errors[0]


def storage_option(command: F) -> F:
    """`--storage`, of every command that looks into storage."""
    return click.option(
        "--storage", metavar="NAME", help="Storage profile, URL or folder (default: local)."
    )(command)


def json_option(command: F) -> F:
    """`--json`, of every command that answers a question."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )
