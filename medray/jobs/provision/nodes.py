"""The doctor on a cluster: a small job asks every node, and what they say is judged here."""

import json
import secrets
import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from medray.cluster.examine import Facts
from medray.errors import RetryableError
from medray.ids import attempt_id
from medray.jobs.remote.ray_jobs_api import ENDED, connect
from medray.jobs.storage_by_name import open_storage
from medray.jobs.submit import ray_profile, ship

MARK = "medray-nodes:"  # before the line of the probe's output that is meant for us
WAIT_S = 180.0
LOOK_S = 0.3
SKEW_S = 2.0  # leases and deadlines bear more; certificates and signatures of stores do not
SHM_FREE_BYTES = 128 * 2**20  # containers have 64 MiB unless told otherwise

Finding = tuple[str, bool, str]


def examine_cluster(cluster: str, storage: str | None) -> list[Finding]:
    """(check, whether it passed, detail) of each check of a cluster's nodes.

    Args:
        cluster: profile of kind `ray`.
        storage: see `medray.jobs.storage_by_name.open_storage`; nodes must reach it.

    Raises:
        RetryableError: the probe did not end (code "no-answer-of-nodes"), or the cluster does not
            answer.
    """
    facts, silent = ask(cluster, storage)
    told = [f"{node} gives no answer ({error})" for node, error in silent.items()]
    nodes = "; ".join([f"{len(facts)} that are there now", *told])
    return [("nodes", not silent, nodes), *judge(facts)]


def judge(facts: Sequence[Facts]) -> list[Finding]:
    """Findings of what nodes say of themselves."""
    judged = [(name, find(facts)) for name, find in _WRONG.items()]
    return [(name, not wrong, wrong or "nothing wrong") for name, wrong in judged]


def ask(cluster: str, storage: str | None) -> tuple[list[Facts], dict[str, str]]:
    """Facts of each node that is there now, by a job of its own; and of those that did not answer
    the error's type."""
    profile = ray_profile(cluster)
    objects = open_storage(storage)
    probe = f"medray-doctor-{attempt_id()}"
    with connect(profile) as jobs:
        root, runtime = ship(jobs, profile, cluster, storage, objects)
        command = [profile.python, "-m", "medray", "probe", "--key", secrets.token_hex(8)]
        entrypoint = shlex.join([*command, "--storage", root])
        jobs.submit({"entrypoint": entrypoint, "submission_id": probe, "runtime_env": runtime})
        until = time.monotonic() + WAIT_S
        while (known := jobs.job(probe)) is not None and known["status"] not in ENDED:
            if time.monotonic() > until:
                break
            time.sleep(LOOK_S)
        said = jobs.output(probe)
    for line in said.splitlines():
        if line.startswith(MARK):
            answer = json.loads(line.removeprefix(MARK))
            return [Facts(**fields) for fields in answer["facts"]], answer["silent"]
    raise RetryableError(
        "the job that asks the nodes gave no answer",
        code="no-answer-of-nodes",
        about=probe,
        hint=(said.strip().splitlines() or ["the cluster's dashboard shows its log"])[-1],
    )


def _versions(facts: Sequence[Facts]) -> str:
    """Libraries of which nodes have different versions."""
    wrong = []
    for name in facts[0].versions if facts else ():
        there: dict[str, list[str]] = defaultdict(list)
        for one in facts:
            there[one.versions.get(name, "none")].append(one.node)
        if len(there) > 1:
            by = ", ".join(f"{version} on {' '.join(nodes)}" for version, nodes in there.items())
            wrong.append(f"{name} {by}")
    return "; ".join(wrong)


def _tokens(facts: Sequence[Facts]) -> str:
    wrong = [f"{one.node} is not asked for a token" for one in facts if one.auth != "token"]
    wrong += [f"others may read the token on {one.node}" for one in facts if one.token_open]
    wrong += [f"{one.node} has no token file" for one in facts if not one.token]
    if len({one.token for one in facts if one.token}) > 1:
        wrong.append("the files of different nodes hold different tokens")
    return "; ".join(wrong)


def _clocks(facts: Sequence[Facts]) -> str:
    wrong = [one for one in facts if abs(one.skew_s) > SKEW_S + one.doubt_s]
    return "; ".join(f"{one.node} is {one.skew_s:+.1f} s off the head" for one in wrong)


def _memory(facts: Sequence[Facts]) -> str:
    wrong = []
    for one in facts:
        if one.shm_bytes < one.store_bytes:
            wrong.append(
                f"{one.node} has {_mib(one.shm_bytes)} for Ray's {_mib(one.store_bytes)}, which "
                "then goes through the disk"
            )
        elif one.shm_free_bytes < SHM_FREE_BYTES:
            wrong.append(f"{one.node} has {_mib(one.shm_free_bytes)} left")
    return "; ".join(wrong)


def _gpus(facts: Sequence[Facts]) -> str:
    wrong = []
    for one in facts:
        if one.gpus and not one.driver:
            wrong.append(f"{one.node} gives out {one.gpus:g} GPU, and has no driver for any")
        elif one.gpus and not one.cuda:
            wrong.append(f"{one.node} gives out {one.gpus:g} GPU, and torch there is without CUDA")
    return "; ".join(wrong)


def _storage(facts: Sequence[Facts]) -> str:
    return "; ".join(f"{one.node}: {one.storage}" for one in facts if one.storage)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


# What is wrong, in words; empty: nothing.
_WRONG: dict[str, Callable[[Sequence[Facts]], str]] = {
    "versions": _versions,
    "tokens": _tokens,
    "clocks": _clocks,
    "shared memory": _memory,
    "gpus": _gpus,
    "storage there": _storage,
}
