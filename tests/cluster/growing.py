"""A real Ray cluster that grows from no workers at all, by Ray's autoscaler, on one machine.

The nodes are local ones of Ray's own provider: real raylets, each with its own object store.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from head import Head, free_ports, start_head

# The provider's name for the head; those of its nodes end in 00001, 00002 and so on.
HEAD_ID = "f" * 51 + "00000"
IDLE_S = 6
STORE_BYTES = 80_000_000
_PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
# Ray's own defaults would be read from a file that its wheel lacks.
_DEFAULTS: dict[str, Any] = {
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
    "cluster_synced_files": [],
    "rsync_exclude": [],
    "rsync_filter": [],
}


@dataclass
class Growing:
    """A head whose nodes come and go.

    Args:
        head: which holds no work.
    """

    head: Head

    def nodes(self) -> dict[str, str]:
        """Pool label of each worker node that is there, by its id."""
        return {
            node["node_id"]: node["labels"].get("pool", "")
            for node in self.head.nodes()
            if not node["is_head_node"]
        }

    def kill_node(self, node: str) -> None:
        """As a power cut: every process of one worker node at once."""
        (raylet,) = [
            process
            for process in psutil.process_iter(["name", "environ"])
            if process.info["name"] == "raylet"
            and (process.info["environ"] or {}).get("RAY_OVERRIDE_NODE_ID_FOR_TESTING") == node
            and str(self.head.folder) in " ".join(process.cmdline())
        ]
        for process in [raylet, *raylet.children(recursive=True)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def a_growing_cluster(folder: Path, kinds: dict[str, int]) -> Iterator[Growing]:
    """A head without workers, which is asked for them.

    Args:
        folder: for its token and configuration.
        kinds: label `pool` of nodes of 2 CPUs, and how many of them there can be.
    """
    port = free_ports(1)[0]
    config = {
        **_DEFAULTS,
        "cluster_name": "growing",
        "max_workers": sum(kinds.values()),
        "idle_timeout_minutes": IDLE_S / 60,
        "upscaling_speed": 100,
        "provider": {
            "type": "external",
            "module": _PROVIDER,
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
            "gcs_address": f"127.0.0.1:{port}",
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **{
                pool: {
                    "resources": {"CPU": 2, "object_store_memory": STORE_BYTES},
                    "labels": {"pool": pool},
                    "node_config": {},
                    "min_workers": 0,
                    "max_workers": most,
                }
                for pool, most in kinds.items()
            },
        },
        "head_node_type": "ray.head.default",
    }
    file = folder / "autoscaler.yaml"
    file.write_text(yaml.safe_dump(config))
    head = start_head(
        folder / "token",
        cpus=0,
        env={
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        },
        more={"--port": port, "--autoscaling-config": file},
    )
    try:
        yield Growing(head)
    finally:
        head.kill()
