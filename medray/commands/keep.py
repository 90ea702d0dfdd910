"""Commands that keep storage sound: verify, repair, gc; and retry, for what was refused."""

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from medray.commands.output import json_option, print_json, print_table, storage_option
from medray.errors import DataError, SpecError

if TYPE_CHECKING:
    from medray.storage.catalog.check import Problem
    from medray.storage.store.objects import Objects

_UNITS = {"h": 3600.0, "d": 86400.0}


@click.command()
@click.argument("reference", metavar="[NAME[@V]]", default="")
@storage_option
@json_option
def verify(reference: str, storage: str | None, as_json: bool) -> None:
    """Check every hash of a dataset or model; without a name, of everything and the audit log."""
    from medray.jobs.storage_by_name import known_storage
    from medray.storage.catalog.check import verify_all, verify_reference

    objects = known_storage(storage)
    checked, problems = verify_reference(objects, reference) if reference else verify_all(objects)
    if as_json:
        print_json({"checked": checked, "problems": [asdict(problem) for problem in problems]})
    elif problems:
        print_table(["where", "what is wrong"], [[item.path, item.what] for item in problems])
    else:
        click.echo(f"{checked} objects, every hash as committed")
    if problems:
        raise DataError(
            f"{len(problems)} of {checked} objects are not as committed",
            code="not-as-committed",
            about=reference or objects.url,
            hint=_way_out(objects, reference, problems, storage),
        )


def _way_out(
    objects: "Objects", reference: str, problems: "list[Problem]", storage: str | None
) -> str:
    from medray.jobs.repair import way_out

    name, _, version = reference.partition("@")
    if version:
        return f"versions stay as they are; `medray verify {name}` tells of the newest"
    return way_out(objects, problems, name, storage)


@click.command()
@click.argument("name", metavar="[NAME]", default="")
@storage_option
@json_option
def repair(name: str, storage: str | None, as_json: bool) -> None:
    """Let what is damaged of a dataset or model be made anew; without a name, of everything."""
    from medray.jobs.repair import jobs_of
    from medray.jobs.repair import repair as let_go
    from medray.jobs.storage_by_name import known_storage

    objects = known_storage(storage)
    done = let_go(objects, name)
    jobs = jobs_of(objects, done.names)
    if as_json:
        units = {of: len(found) for of, found in done.units.items()}
        print_json({"damaged": len(done.problems), "units": units, "jobs": jobs})
        return
    if not done.problems and not done.plans:
        click.echo("every hash as committed: nothing to repair")
    for of, found in done.units.items():
        click.echo(f"{of}: the next run does {len(found)} units again")
    if done.plans:
        click.echo(f"{done.plans} plans can't be read: the next run plans anew")
    if done.accepted:
        click.echo(f"audit: {done.accepted} damaged objects are written down as such")
    where = f" --storage {storage}" if storage else ""
    for job in jobs:
        click.echo(f"now `medray resume {job}{where}`")


@click.command()
@click.option("--older-than", default="24h", metavar="AGE", help="For example 36h or 7d.")
@click.option("--delete", is_flag=True, help="Delete; without this, only say what would be.")
@storage_option
@json_option
def gc(older_than: str, delete: bool, storage: str | None, as_json: bool) -> None:
    """Remove what abandoned attempts left behind; never what a commit or version names."""
    from medray.jobs.storage_by_name import known_storage
    from medray.storage.catalog.garbage import collect

    objects, spared = known_storage(storage), list[DataError]()
    found = collect(objects, age_s=_age(older_than), delete=delete, spared=spared)
    size = sum(item.bytes for item in found)
    if as_json:
        told = [{"path": error.about, "code": error.code} for error in spared]
        garbage = [asdict(item) for item in found]
        print_json({"deleted": delete, "bytes": size, "garbage": garbage, "spared": told})
    else:
        if found:
            print_table(["what", "why", "bytes"], [[g.path, g.why, g.bytes] for g in found])
        verb = "deleted" if delete else "would be deleted; --delete does it"
        click.echo(f"{len(found)} leftovers, {size} bytes {verb}")
        for error in spared:
            click.echo(f"spared what it may name: {error.about}: {error.message} [{error.code}]")
    if spared:
        raise DataError(
            f"{len(spared)} damaged objects hide what they name",
            code="not-as-committed",
            about=objects.url,
            hint="`medray verify` says what mends them; then run gc again",
        )


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--code",
    "codes",
    multiple=True,
    required=True,
    metavar="CODE",
    help="As `quarantine` shows it.",
)
@storage_option
@json_option
def retry(name: str, codes: tuple[str, ...], storage: str | None, as_json: bool) -> None:
    """Let units that refused something for a reason that is mended since be done again."""
    from medray.jobs.storage_by_name import known_storage
    from medray.steps.base.successors import give_way

    found = give_way(known_storage(storage), name, codes)
    inputs = sum(found.column("inputs"))
    if as_json:
        print_json({"name": name, "units": len(found), "inputs": inputs})
        return
    units = "1 unit" if len(found) == 1 else f"{len(found)} units"
    click.echo(f"{name}: the next run does {units} of {inputs} inputs again")


def _age(text: str) -> float:
    """Seconds of an age such as 36h or 7d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hd])", text)
    if match is None:
        raise SpecError("not an age", code="bad-age", about=text, hint="for example 36h or 7d")
    return float(match[1]) * _UNITS[match[2]]
