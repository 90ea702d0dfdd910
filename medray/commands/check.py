"""The command that checks a job and runs nothing of it."""

import sys
from dataclasses import asdict

import click

from medray.commands.output import json_option, print_json, storage_option
from medray.errors import SpecError


@click.command()
@click.argument("job", metavar="JOB")
@click.option("--cluster", metavar="NAME", help="Cluster profile (default: local).")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="As of `medray run`.")
@storage_option
@json_option
def check(
    job: str, cluster: str | None, overrides: tuple[str, ...], storage: str | None, as_json: bool
) -> None:
    """Say everything that is wrong with a job, before any of it runs; exit 2 if anything is."""
    from medray.jobs.check import check_documents
    from medray.jobs.storage_by_name import storage_to_check
    from medray.spec.load import read_job
    from medray.steps.base.view import Problem

    documents = 0
    try:
        source = read_job(job, overrides)
        documents = len(source.documents)
        _, problems = check_documents(source, storage_to_check(storage), cluster=cluster)
    except SpecError as error:
        if not as_json:
            raise
        message = f"{error.about}: {error.message}" if error.about else error.message
        problems = [Problem(0, "", error.code, message, error.hint)]
    if as_json:
        print_json({"documents": documents, "problems": [asdict(one) for one in problems]})
    else:
        for one in problems:
            where = f"document {one.document}" + (f", {one.field}" if one.field else "")
            hint = f" ({one.hint})" if one.hint else ""
            click.echo(f"{where}: {one.message} [{one.code}]{hint}")
        of = "1 document" if documents == 1 else f"{documents} documents"
        what = {0: "nothing is wrong", 1: "1 problem"}
        click.echo(f"{of}, {what.get(len(problems), f'{len(problems)} problems')}")
    if problems:
        sys.exit(SpecError.exit_status)
