"""Watch for the notice that a cloud takes this node away, and drain it: what is under way ends in
time, nothing is begun any more, and the rest goes to other nodes.

Ray itself reads no such notice. What a cloud says is asked of its metadata service, which only the
machine itself reaches.
"""

import datetime
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Protocol

from medray.clock import SYSTEM, Clock
from medray.errors import RetryableError
from medray.log import event

LOOK_S = 2.0  # of 120 s on EC2 and 30 s on Compute Engine
TIMEOUT_S = 2.0
GCP_NOTICE_S = 30.0
_TOKEN_S = 21600
# Link-local addresses: whatever proxy the environment names cannot reach them.
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Cloud(Protocol):
    """Says whether this machine is to be taken away."""

    def left_s(self) -> float | None:
        """Seconds until it goes; None: nobody has said that it does.

        Raises:
            OSError, HTTPException: the metadata service did not answer.
        """
        ...


@dataclass
class Ec2:
    """Version 2 of EC2's metadata service: a session token first, then /spot/instance-action.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    """

    url: str = "http://169.254.169.254"
    clock: Clock = SYSTEM
    _token: str = ""

    def left_s(self) -> float | None:
        """See `Cloud`."""
        try:
            answer = self._ask()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            if error.code == 401:
                self._token = ""  # it was good for six hours; the next look asks for another
            raise
        if answer.get("action") not in ("terminate", "stop", "hibernate"):
            return None
        at = datetime.datetime.fromisoformat(answer["time"])
        return max(0.0, (at - self.clock.now()).total_seconds())

    def _ask(self) -> dict[str, str]:
        if not self._token:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
            self._token = _get(f"{self.url}/latest/api/token", headers, "PUT").decode()
        path = "/latest/meta-data/spot/instance-action"
        return dict(json.loads(_get(self.url + path, {"X-aws-ec2-metadata-token": self._token})))


@dataclass
class ComputeEngine:
    """Compute Engine's metadata server: /instance/preempted turns from FALSE to TRUE.

    https://cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption
    """

    url: str = "http://metadata.google.internal"

    def left_s(self) -> float | None:
        """See `Cloud`."""
        path = "/computeMetadata/v1/instance/preempted"
        said = _get(self.url + path, {"Metadata-Flavor": "Google"}).strip()
        return GCP_NOTICE_S if said == b"TRUE" else None


CLOUDS = {"aws": Ec2, "gcp": ComputeEngine}


def watch(cloud: Cloud, address: str, node: str, stop: threading.Event) -> float | None:
    """Wait for the notice, then drain this node.

    Args:
        cloud: asked every `LOOK_S`.
        address: host:port of the cluster's GCS.
        node: id of the node; empty: the one at this machine's address.
        stop: ends the wait.

    Returns:
        Seconds that the node had left when it was drained; None: stopped before.
    """
    deaf = False
    while not stop.is_set():
        try:
            left = cloud.left_s()
            if left is not None:
                drain(address, node or node_here(address), left)
                return left
            deaf = False
        except (OSError, HTTPException, ValueError, KeyError, RetryableError) as error:
            if not deaf:  # said once: a look every other second would fill the disk
                event("spot-watch-failed", error=type(error).__name__)
            deaf = True
        stop.wait(LOOK_S)
    return None


def node_here(address: str) -> str:
    """Id of the node of a cluster that runs at this machine's address.

    Raises:
        RetryableError: there is none (code "no-node-here").
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]
    from ray.util import get_node_ip_address

    here = get_node_ip_address()  # type: ignore[no-untyped-call]
    for node_id, info in GcsClient(address=address).get_all_node_info().items():
        if info.node_manager_address == here and info.state == GcsNodeInfo.ALIVE:
            return str(node_id.hex())
    raise RetryableError("no node of the cluster is here", code="no-node-here", about=here)


def drain(address: str, node: str, left_s: float) -> None:
    """Tell a cluster that a node goes in `left_s` seconds.

    Raises:
        RetryableError: the cluster does not answer, or refuses (code "not-drained").
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]
    from ray.exceptions import RpcError

    deadline_ms = int((SYSTEM.now().timestamp() + left_s) * 1000)
    reason = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    cause: RpcError | None = None
    try:
        taken, why = GcsClient(address=address).drain_node(
            node, reason, "the cloud takes this node away", deadline_ms
        )
    except RpcError as error:
        taken, why, cause = False, type(error).__name__, error
    if not taken:
        raise RetryableError(
            f"the node could not be drained ({why})", code="not-drained", about=node
        ) from cause
    event("node-drains", node=node, seconds=round(left_s))


def _get(url: str, headers: dict[str, str], method: str = "GET") -> bytes:
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - http
    with _HTTP.open(request, timeout=TIMEOUT_S) as answer:
        return bytes(answer.read(4096))
