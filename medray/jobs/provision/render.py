"""Render a cluster profile to what makes the cluster: a `ray up` file, or KubeRay manifests."""

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medray.errors import SpecError
from medray.jobs.provision.kuberay import (
    MOUNT,
    Task,
    cluster_manifests,
    job_manifests,
    service_manifests,
)
from medray.jobs.provision.ray_up import launcher_config
from medray.jobs.submit import ray_profile
from medray.spec.deploy import Kubernetes
from medray.spec.load import find
from medray.spec.schedules import Schedule

_NOTE = "# Made by `medray cluster render {name}`: change cluster/{name}.yaml instead.\n"


@dataclass(frozen=True)
class Wanted:
    """What to render besides the cluster.

    Args:
        job: path or name of a job file: a run of its own cluster.
        cron: when it is due, again and again.
        time_zone: of `cron`.
        models: to serve.
        schedule: of storage: its job, when it is due; stands for `job`, `cron` and `time_zone`.
    """

    job: str = ""
    cron: str = ""
    time_zone: str = "Etc/UTC"
    models: tuple[str, ...] = ()
    schedule: Schedule | None = None


def render(cluster: str, wanted: Wanted | None = None) -> str:
    """YAML of what makes a cluster.

    Args:
        cluster: profile with a section `deploy`.
        wanted: a job or a service, on Kubernetes.

    Raises:
        SpecError: the profile says nothing of how it is made (code "nothing-to-render"), or a
            launcher was asked for what only Kubernetes has ("not-on-a-launcher").
    """
    wanted = wanted or Wanted()
    profile = ray_profile(cluster)
    name = Path(cluster).stem
    ray_version = importlib.metadata.version("ray")
    if profile.deploy is None:
        raise SpecError(
            "the profile says nothing of how the cluster is made",
            code="nothing-to-render",
            about=cluster,
            hint="cluster/kuberay.yaml, aws.yaml and gcp.yaml have a section `deploy`",
        )
    note = _NOTE.format(name=name)
    if not isinstance(profile.deploy, Kubernetes):
        if wanted.job or wanted.models or wanted.schedule:
            raise SpecError(
                "only Kubernetes has jobs and services of their own cluster",
                code="not-on-a-launcher",
                about=cluster,
                hint="`ray up` the cluster, then `medray submit` and `medray schedule`",
            )
        return note + _dump(launcher_config("medray", profile.deploy, ray_version))
    manifests = _manifests(cluster, profile.deploy, wanted, ray_version)
    return note + str(yaml.dump_all(manifests, **_STYLE))


def _manifests(
    cluster: str, deploy: Kubernetes, wanted: Wanted, ray_version: str
) -> list[dict[str, Any]]:
    task: Task | None = None
    if wanted.schedule is not None:
        due = wanted.schedule
        text = str(yaml.dump_all(due.documents, **_STYLE))
        task = Task(f"medray-{_label(due.name)}", text, due.cron, due.tz)
    elif wanted.job:
        path = find("jobs", wanted.job)
        name = f"medray-{_label(path.stem)}"
        task = Task(name, path.read_text(), wanted.cron, wanted.time_zone)
    if task is not None:
        return job_manifests(task, find("cluster", cluster).read_text(), deploy, ray_version)
    if wanted.models:
        application = {
            "name": "medray",
            "route_prefix": "/",
            "import_path": "medray.jobs.serve:build",
            "args": {
                "models": list(wanted.models),
                "storage": deploy.storage,
                "token_file": f"{MOUNT}/tokens/tokens",
            },
        }
        return service_manifests("medray-serve", application, deploy, ray_version, _dump)
    return cluster_manifests("medray", deploy, ray_version)


def _label(name: str) -> str:
    """A name as Kubernetes takes it: small letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


_STYLE: dict[str, Any] = {"sort_keys": False, "width": 100, "Dumper": yaml.SafeDumper}


def _dump(value: Any) -> str:
    return str(yaml.dump(value, **_STYLE))
