"""Whether a cluster is fit: it answers, asks for its token, has our Ray, and its pools fit into it.

A pool that asks for more than there can ever be waits for ever, and Ray says nothing.
"""

import importlib.metadata
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from medray.errors import SpecError
from medray.jobs.remote.ray_jobs_api import RayJobs, connect
from medray.spec.kinds import KINDS
from medray.spec.load import cluster_profile
from medray.spec.profiles import Cluster, Inline, Pool, RayCluster

PATIENCE_S = 3.0

Check = Callable[[], tuple[bool, str]]


@dataclass(frozen=True)
class Group:
    """Nodes alike.

    Args:
        cpus: of each.
        gpus: of each.
        labels: that pools ask for.
        most: how many there can be.
    """

    cpus: float
    gpus: float
    labels: dict[str, str]
    most: int


def cluster_checks(name: str) -> dict[str, Check]:
    """The doctor's checks of a cluster profile, by name."""
    profile = cluster_profile(name)
    if not isinstance(profile, RayCluster):
        return {}
    return {
        "cluster": lambda: _answers(profile),
        "token": lambda: _asks_for_token(profile),
        "pools": lambda: _pools(profile),
    }


def misfits(profile: Cluster, groups: list[Group]) -> list[str]:
    """What can never run on `groups`, a sentence each.

    The fewest workers of a pool must fit at once, each on one node whose labels it asks for. Runs
    side by side share the cluster: what only one of them can have, the others wait for.
    """
    if isinstance(profile, Inline):
        return []
    found: dict[str, str] = {}
    for kind in KINDS.names():
        pool = profile.pool(kind)
        wanted = pool.workers if isinstance(pool.workers, int) else (pool.workers or (1, 1))[0]
        there = sum(_on_each(pool, group) * group.most for group in groups)
        if there < wanted:
            # Kinds that share a pool are one finding.
            asks = _asks(pool, wanted)
            found.setdefault(asks, f"{kind}: {asks}, and {there} fit")
    return list(found.values())


def _on_each(pool: Pool, group: Group) -> int:
    """Workers that one node of a group can hold."""
    if any(group.labels.get(key) != value for key, value in pool.labels.items()):
        return 0
    by_cpu = int((group.cpus + 1e-6) / pool.cpus)
    return min(by_cpu, int((group.gpus + 1e-6) / pool.gpus)) if pool.gpus else by_cpu


def _asks(pool: Pool, wanted: int) -> str:
    gpus = f", {pool.gpus:g} GPU" if pool.gpus else ""
    labels = "".join(f", {key}={value}" for key, value in pool.labels.items())
    return f"at least {wanted} workers of {pool.cpus:g} CPU{gpus}{labels}"


def _answers(profile: RayCluster) -> tuple[bool, str]:
    with connect(profile, PATIENCE_S) as jobs:
        theirs = str(jobs.version()["ray_version"])
    ours = importlib.metadata.version("ray")
    detail = f"{profile.address}, Ray {theirs}"
    if profile.medray == "shipped" and theirs != ours:
        return False, f"{detail}, and Ray {ours} here, with which these sources are tested"
    return True, detail


def _asks_for_token(profile: RayCluster) -> tuple[bool, str]:
    """A token that nobody has given out must be refused."""
    with RayJobs(
        profile.address, secrets.token_hex(8), ca_file=profile.ca_file, patience_s=PATIENCE_S
    ) as jobs:
        try:
            jobs.version()
        except SpecError as error:
            if error.code in ("no-token", "wrong-token"):
                return True, "whoever has none is refused"
            raise
    return False, "any token is taken: RAY_AUTH_MODE=token is not set where Ray was started"


def _pools(profile: RayCluster) -> tuple[bool, str]:
    if profile.grows and profile.deploy is None:
        return True, "nodes come when they are asked for; which ones, the profile does not say"
    wrong = misfits(profile, _groups(profile))
    return not wrong, "; ".join(wrong) or "each fits"


def _groups(profile: RayCluster) -> list[Group]:
    """The nodes that there can be: as deployed, else those that are there now."""
    if profile.deploy is not None:
        return [
            Group(nodes.cpus, nodes.gpus, nodes.labels, nodes.most)
            for nodes in profile.deploy.workers.values()
        ]
    with connect(profile, PATIENCE_S) as jobs:
        found = jobs.nodes()
    return [
        Group(
            node["resources_total"].get("CPU", 0),
            node["resources_total"].get("GPU", 0),
            node.get("labels") or {},
            1,
        )
        for node in found
    ]
