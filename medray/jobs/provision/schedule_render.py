"""What runs the scheduler for good: a systemd unit, or a Kubernetes CronJob. Texts, to be installed
by whoever may.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

from medray.errors import SpecError

GRACE_S = 40  # runs are given 20 s to end; then leases are given back


def systemd(storage: str | None, folder: str) -> str:
    """A unit for `systemctl enable --now`, as a service of the user's or of the system's.

    Args:
        storage: profile or URL.
        folder: to work in: profiles in its cluster/ and storage/ are found.
    """
    given = ["--storage", storage] if storage else []
    command = shlex.join([str(Path(sys.executable).with_name("medray")), "scheduler", *given])
    return f"""\
[Unit]
Description=medray scheduler
After=network-online.target
Wants=network-online.target

[Service]
WorkingDirectory={folder}
ExecStart={command}
Restart=always
RestartSec=10
# Runs drain first: the scheduler is asked alone, and hands it on.
KillMode=mixed
TimeoutStopSec={GRACE_S}
NoNewPrivileges=yes
PrivateTmp=yes

[Install]
WantedBy=default.target
"""


def kubernetes(storage: str | None, image: str | None) -> str:
    """A CronJob that looks every five minutes.

    Several pods at once do no harm, and a long run of one schedule must not keep the others
    waiting, so concurrency is allowed.

    Args:
        storage: profile or URL.
        image: with medray in it.

    Raises:
        SpecError: none is named (code "no-image").
    """
    if image is None:
        raise SpecError(
            "an image with medray in it must be named", code="no-image", hint="give --image"
        )
    given = ["--storage", storage] if storage else []
    container: dict[str, Any] = {
        "name": "scheduler",
        "image": image,
        "command": ["medray", "scheduler", "--once", *given],
        # Credentials: whatever the storage profile names, from a Secret that the user makes.
        "envFrom": [{"secretRef": {"name": "medray-storage", "optional": True}}],
        "resources": {"requests": {"cpu": "1", "memory": "4Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True},
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        "containers": [container],
    }
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "medray-scheduler"},
        "spec": {
            "schedule": "*/5 * * * *",
            "concurrencyPolicy": "Allow",
            "startingDeadlineSeconds": 240,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False)
