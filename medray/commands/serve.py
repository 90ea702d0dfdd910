"""The command that puts models behind an address."""

import signal
import threading
from pathlib import Path
from typing import Any

import click

from medray.commands.output import storage_option
from medray.errors import SpecError


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1)
@storage_option
@click.option("--cluster", metavar="NAME", help="Where to serve (default: a Ray of our own).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on.")
@click.option(
    "--token-file", metavar="FILE", help="Hashes of the tokens (default: ~/.medray/serve-tokens)."
)
@click.option("--new-token", is_flag=True, help="Print a new token and keep its hash; no serving.")
@click.option("--tls-cert", metavar="FILE", help="Certificate; needed beyond loopback.")
@click.option("--tls-key", metavar="FILE", help="Its key.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="replicas=[1,4], …")
def serve(
    models: tuple[str, ...],
    storage: str | None,
    cluster: str | None,
    host: str,
    port: int,
    token_file: str | None,
    new_token: bool,
    tls_cert: str | None,
    tls_key: str | None,
    settings: tuple[str, ...],
) -> None:
    """Answer requests by trained models, until stopped."""
    from medray.serving.tokens import add_token
    from medray.spec.serving import TOKEN_FILE

    file = Path(token_file or TOKEN_FILE).expanduser()
    if new_token:
        click.echo(add_token(file))
        return
    if not models:
        raise click.UsageError("give at least one model")
    from medray.jobs.serve import serving

    args: dict[str, Any] = {"models": models, "token_file": str(file), **_values(settings)}
    if storage:
        args["storage"] = storage

    def show(token: str) -> None:
        click.echo(f"a token, shown once; its hash is in {file}:\n{token}", err=True)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    tls = _tls(tls_cert, tls_key)
    with serving(args, cluster=cluster, host=host, port=port, tls=tls, on_token=show) as known:
        scheme = "https" if tls_cert else "http"
        for model in known:
            path = f"/v1/models/{model['name']}:predict"
            click.echo(f"{model['reference']} at {scheme}://{host}:{port}{path}")
        stop.wait()
        click.echo("stopping", err=True)


def _tls(cert: str | None, key: str | None) -> tuple[str, str] | None:
    if cert and key:
        return str(Path(cert).absolute()), str(Path(key).absolute())
    if cert or key:
        raise SpecError(
            "a certificate and its key go together",
            code="half-tls",
            hint="give --tls-cert and --tls-key",
        )
    return None


def _values(settings: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE each, the value in YAML."""
    from medray.spec.documents import parse

    made: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.isidentifier():
            about = f"--set {name}" if equals else "--set"
            raise SpecError("not of the form name=value", code="bad-set", about=about)
        values = parse(text, f"--set {name}")
        made[name] = values[0] if values else None
    return made
