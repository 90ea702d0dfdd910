"""Commands for a bucket: storage check, storage init."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medray.commands.output import json_option, print_json, print_table, storage_option
from medray.errors import RetryableError

if TYPE_CHECKING:
    from medray.storage.store.bucket_admin import Control

POLICIES = Path("storage/policies")


@click.group()
def storage() -> None:
    """Check or set up the bucket of a storage profile."""


@storage.command()
@storage_option
@json_option
def check(storage: str | None, as_json: bool) -> None:
    """Is the bucket as medray needs it? Ends with the least-privilege policy for it."""
    from medray.storage.store.policy import policy

    control = _control(storage)
    findings = control.check()
    allowed = policy(control.storage)
    if as_json:
        print_json({"checks": [asdict(item) for item in findings], "policy": allowed})
    else:
        print_table(["check", "", "detail"], [[f.name, f.verdict, f.detail] for f in findings])
        click.echo(json.dumps(allowed, indent=1))
    failed = [item.name for item in findings if item.verdict == "failed"]
    if failed:
        raise RetryableError(
            f"failed: {', '.join(failed)}",
            code="unfit-storage",
            about=control.storage.url,
            hint="see above",
        )


@storage.command()
@storage_option
@json_option
def init(storage: str | None, as_json: bool) -> None:
    """Make and set up the bucket; write its least-privilege policy to storage/policies."""
    from medray.storage.store.policy import policy

    control = _control(storage)
    done = control.init()
    path = POLICIES / f"{control.storage.bucket}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(policy(control.storage), indent=1) + "\n")
    if as_json:
        print_json({"done": done, "policy": str(path)})
        return
    for line in [*done, f"wrote {path}"]:
        click.echo(line)


def _control(name: str | None) -> "Control":
    from medray.jobs.storage_by_name import storage_of
    from medray.storage.store.bucket_admin import Control

    return Control(storage_of(name))
