"""Commands around a first use: init, doctor, schema."""

import shutil
from pathlib import Path

import click

from medray.commands.output import json_option, print_json, print_table, storage_option
from medray.errors import RetryableError, SpecError

ROOMS = ("jobs", "cluster", "storage")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Lay out example jobs and profiles in DIR; files that are there stay as they are."""
    from medray.spec.load import shipped

    for room in ROOMS:
        files = [path for path in shipped(room).rglob("*") if path.suffix in (".yaml", ".json")]
        for source in sorted(files):
            target = folder / room / source.relative_to(shipped(room))
            try:
                if target.exists():
                    click.echo(f"kept   {target}")
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            except OSError as error:
                raise SpecError(
                    f"cannot be written ({type(error).__name__})",
                    code="bad-target",
                    about=str(target),
                    hint="give a folder that can be made and written to",
                ) from error
            click.echo(f"wrote  {target}")


@click.command()
@click.option("--cluster", metavar="NAME", help="Cluster profile to check as well.")
@storage_option
@json_option
def doctor(cluster: str | None, storage: str | None, as_json: bool) -> None:
    """Check that this machine, and a cluster, can run medray."""
    from medray.jobs.provision.doctor import examine

    findings = examine(storage, cluster)
    if as_json:
        print_json({name: {"ok": ok, "detail": detail} for name, ok, detail in findings})
    else:
        print_table(
            ["check", "", "detail"],
            [[name, "ok" if ok else "FAILED", detail] for name, ok, detail in findings],
        )
    failed = [name for name, ok, _ in findings if not ok]
    if failed:
        raise RetryableError(
            f"failed: {', '.join(failed)}", code="unfit", about="this machine", hint="see above"
        )


@click.command(hidden=True)
@click.option("--key", required=True, metavar="HEX", help="Of the hashes of tokens.")
@storage_option
def probe(key: str, storage: str | None) -> None:
    """What the doctor runs on a cluster: say what each node finds there."""
    import json

    from medray.cluster.examine import examine_nodes
    from medray.cluster.session import join
    from medray.jobs.provision.nodes import MARK
    from medray.jobs.storage_by_name import open_storage

    with join("auto"):
        click.echo(MARK + json.dumps(examine_nodes(open_storage(storage), key)))


@click.command()
def schema() -> None:
    """Print the JSON Schema of one document of a job file, for editors."""
    from medray.spec.load import json_schema

    print_json(json_schema())
