"""The command line. Importing it loads neither Ray nor torch; a command loads when it is used."""

import importlib
import os
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from medray.errors import LEFT, MedrayError
from medray.extras import is_extra, lacking
from medray.veil import veiled
from medray.version import __version__

COMMANDS = {
    "run": "medray.commands.run:run",
    "check": "medray.commands.check:check",
    "submit": "medray.commands.submit:submit",
    "resume": "medray.commands.submit:resume",
    "cancel": "medray.commands.run:cancel",
    "demo": "medray.commands.run:demo",
    "runs": "medray.commands.follow:runs",
    "status": "medray.commands.follow:status",
    "logs": "medray.commands.follow:logs",
    "serve": "medray.commands.serve:serve",
    "ls": "medray.commands.look:ls",
    "show": "medray.commands.look:show",
    "quarantine": "medray.commands.look:quarantine",
    "retry": "medray.commands.keep:retry",
    "verify": "medray.commands.keep:verify",
    "repair": "medray.commands.keep:repair",
    "gc": "medray.commands.keep:gc",
    "storage": "medray.commands.storage:storage",
    "init": "medray.commands.setup:init",
    "schedule": "medray.commands.schedule:schedule",
    "scheduler": "medray.commands.schedule:scheduler",
    "doctor": "medray.commands.setup:doctor",
    "cluster": "medray.commands.cluster:cluster",
    "schema": "medray.commands.setup:schema",
    "drive": "medray.commands.submit:drive",
    "probe": "medray.commands.setup:probe",
}


class Commands(click.Group):
    """Commands that load when asked for, and errors that end in one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command called `name`."""
        target = COMMANDS.get(name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error ends in one line, and in a traceback only with --debug."""
        try:
            return super().invoke(ctx)
        except MedrayError as error:
            _end(ctx, error)
        except (click.ClickException, click.exceptions.Exit) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else ""
            if veiled(text) != text:  # it quotes an argument
                raise click.UsageError(veiled(text), ctx) from None
            raise
        except (KeyboardInterrupt, click.Abort):
            click.echo("medray: stopped before the end [interrupted]", err=True)
            ctx.exit(LEFT)
        except BrokenPipeError:
            ctx.exit(1)  # the reader of our output is gone
        except Exception as error:  # noqa: BLE001 - the last stop of every error
            if isinstance(error, ModuleNotFoundError) and is_extra(error):
                _end(ctx, lacking(error))
            if ctx.params["debug"]:
                click.echo(veiled(traceback.format_exc()), err=True)
            # The type and place alone: a library's message can quote the file it choked on.
            at = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(at.filename).name}:{at.lineno}"
            click.echo(
                f"medray: a bug: {type(error).__name__} at {place}; --debug shows more", err=True
            )
            ctx.exit(1)


def _end(ctx: click.Context, error: MedrayError) -> NoReturn:
    """End in one line, from inside an `except`."""
    if ctx.params["debug"]:
        click.echo(veiled(traceback.format_exc()), err=True)
    click.echo(veiled(f"medray: {error}"), err=True)
    ctx.exit(error.exit_status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="medray")
@click.option("--debug", is_flag=True, help="Show tracebacks and all log lines.")
def main(debug: bool) -> None:
    """Turn raw biomedical files into trained models and committed predictions."""
    from medray.log import configure

    # To look for some in all that is installed takes 10 % of a run with nothing to do.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    configure("debug" if debug else "error")
