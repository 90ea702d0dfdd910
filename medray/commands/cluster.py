"""Commands for clusters: what makes them, and who waits for them."""

import click

from medray.commands.output import json_option, print_json, print_table, storage_option


@click.group()
def cluster() -> None:
    """Render what makes a cluster; see who waits for it."""


@cluster.command()
@click.argument("name", metavar="NAME")
@click.option("--job", default="", metavar="JOB", help="A RayJob: a cluster for this job alone.")
@click.option("--cron", default="", metavar="WHEN", help="With --job: a RayCronJob.")
@click.option("--time-zone", default="Etc/UTC", metavar="ZONE", help="Of --cron.")
@click.option("--schedule", metavar="NAME", help="A RayCronJob of a schedule in storage.")
@click.option("--serve", "models", multiple=True, metavar="MODEL", help="A RayService.")
@storage_option
def render(
    name: str,
    job: str,
    cron: str,
    time_zone: str,
    schedule: str | None,
    models: tuple[str, ...],
    storage: str | None,
) -> None:
    """Print the `ray up` file or the KubeRay manifests that a cluster profile stands for."""
    from medray.jobs.provision.render import Wanted
    from medray.jobs.provision.render import render as render_cluster
    from medray.jobs.schedule.schedules import read
    from medray.jobs.storage_by_name import open_storage

    due = read(open_storage(storage), schedule) if schedule else None
    click.echo(render_cluster(name, Wanted(job, cron, time_zone, models, due)), nl=False)


@cluster.command()
@click.option("--cloud", type=click.Choice(["aws", "gcp"]), required=True, help="Whose node.")
@click.option("--address", metavar="HOST:PORT", required=True, help="Of the cluster's GCS.")
@click.option("--node", default="", metavar="ID", help="The node (default: the one here).")
@click.option("--metadata", metavar="URL", help="Of the metadata service (default: the cloud's).")
def watch(cloud: str, address: str, node: str, metadata: str | None) -> None:
    """On a node: wait for the notice that the cloud takes it away, then drain it."""
    import threading

    from medray.cluster.spot import CLOUDS
    from medray.cluster.spot import watch as watch_node
    from medray.log import configure

    configure("info")
    of = CLOUDS[cloud](metadata) if metadata else CLOUDS[cloud]()
    watch_node(of, address, node, threading.Event())


@cluster.command()
@click.argument("name", metavar="NAME")
@storage_option
@json_option
def queue(name: str, storage: str | None, as_json: bool) -> None:
    """List the runs that have a place on a cluster, and those that wait for one."""
    from dataclasses import asdict
    from pathlib import Path

    from medray.jobs.remote.queue import read_queue
    from medray.jobs.storage_by_name import known_storage

    line = read_queue(known_storage(storage), Path(name).stem)
    if as_json:
        print_json({"queue": [asdict(entry) for entry in line]})
        return
    print_table(
        ["run", "state", "priority", "submitted", "last seen"],
        [
            [
                entry.job,
                "running" if entry.running else "waiting",
                entry.priority,
                entry.at[:19],
                entry.seen[:19],
            ]
            for entry in line
        ],
    )
