"""Files for `ray up`, made of a profile: a private head on demand, workers on spot by default."""

from collections.abc import Mapping
from typing import Any

from medray.errors import SpecError
from medray.spec.deploy import Aws, Gcp, Launcher, Nodes
from medray.version import __version__

HOME = "/opt/medray"  # a virtual environment of its own on every node
TOKEN = "~/.medray/ray-token"  # noqa: S105 - a place, not the token
TLS = "~/.medray/tls"
# Every process of Ray's on every node asks for the token; two minutes are what spot gives notice.
_ENVIRONMENT = (
    f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/{TOKEN.removeprefix('~/')} "
    "RAY_USAGE_STATS_ENABLED=0 RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=90"
)
_ENVIRONMENT_TLS = " ".join(
    f"RAY_TLS_{name}=$HOME/.medray/tls/{file}"
    for name, file in (
        ("SERVER_CERT", "node.crt"),
        ("SERVER_KEY", "node.key"),
        ("CA_CERT", "ca.crt"),
    )
)
# Ray checks addresses, which nobody knows before a node is there: each makes its own certificate.
CERTIFY = (
    f"cd {TLS} && umask 077 && openssl req -new -newkey rsa:2048 -nodes -keyout node.key "
    "-subj /CN=medray-node -out node.csr && printf "
    "'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:%s' $(hostname -I | cut -d' ' -f1) > node.ext "
    "&& openssl x509 -req -in node.csr -CA ca.crt -CAkey ca.key "
    "-set_serial 0x$(openssl rand -hex 16) -days 365 -extfile node.ext -out node.crt"
)


def launcher_config(name: str, deploy: Launcher, ray_version: str) -> dict[str, Any]:
    """A cluster launcher file as plain values; nodes get the medray that is copied to them, or that
    their image has, and none from an index.

    Args:
        name: of the cluster.
        deploy: what it is made of.
        ray_version: to install on every node; they must be equal.

    The token is copied from this machine to the head over SSH, and from there to the workers; it
    stands in no command and no file of the launcher's. The dashboard listens on loopback there.

    Raises:
        SpecError: the wheel is of another version than this (code "other-version"): its nodes would
            refuse what is submitted from here.
    """
    environment = _ENVIRONMENT
    files, certify = {TOKEN: TOKEN}, []
    if deploy.tls:
        environment += f" RAY_USE_TLS=1 {_ENVIRONMENT_TLS}"
        files |= {f"{TLS}/{file}": f"{TLS}/{file}" for file in ("ca.crt", "ca.key")}
        certify = [CERTIFY]
    install = []
    if deploy.wheel is not None:
        wheel = f"~/.medray/{_checked(deploy.wheel)}"
        files[wheel] = deploy.wheel
        ray = f"'ray[default,data,serve,train]=={ray_version}'"
        install = [
            (
                f"test -x {HOME}/bin/medray || (sudo install -d -o $USER {HOME} && "
                f"python3 -m venv {HOME} && "
                f"{HOME}/bin/pip install --quiet {ray} {wheel}'[all]')"
            )
        ]
    return {
        "cluster_name": name,
        "max_workers": sum(nodes.most for nodes in deploy.workers.values()),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": deploy.idle_minutes,
        "provider": _provider(deploy),
        "auth": {"ssh_user": "ubuntu"},
        "available_node_types": {
            "head": _node_type(deploy, deploy.head, head=True),
            **{kind: _node_type(deploy, nodes) for kind, nodes in deploy.workers.items()},
        },
        "head_node_type": "head",
        "file_mounts": files,
        "setup_commands": [
            f"chmod 700 ~/.medray && chmod 600 {TOKEN}",
            *install,
            *certify,
        ],
        "head_start_ray_commands": [
            f"{HOME}/bin/ray stop",
            # No work on the head: it holds the drivers, and nothing brings it back.
            (
                f"ulimit -n 65536; {environment} {HOME}/bin/ray start --head --port=6379 "
                "--num-cpus=0 --num-gpus=0 --dashboard-host=127.0.0.1 "
                "--autoscaling-config=~/ray_bootstrap_config.yaml"
            ),
        ],
        "worker_start_ray_commands": [
            f"{HOME}/bin/ray stop",
            f"ulimit -n 65536; {environment} {HOME}/bin/ray start --address=$RAY_HEAD_IP:6379",
            # One at a time, whatever was started before; Ray reads no notice of a cloud itself.
            (
                f"{environment} setsid nohup flock -n ~/.medray/watch.lock {HOME}/bin/medray "
                f"cluster watch --cloud {deploy.kind} --address $RAY_HEAD_IP:6379 "
                "> ~/.medray/watch.log 2>&1 < /dev/null &"
            ),
        ],
    }


def _checked(wheel: str) -> str:
    """Name of the file, if it is a wheel of this version."""
    name = wheel.rsplit("/", 1)[-1]
    if not name.startswith(f"medray-{__version__}-"):
        raise SpecError(
            f"no wheel of medray {__version__}, which this is",
            code="other-version",
            about=f"deploy.wheel: {name}",
            hint="`pip wheel --no-deps -w dist .` in its sources makes one",
        )
    return name


def _provider(deploy: Launcher) -> dict[str, Any]:
    if isinstance(deploy, Aws):
        return {
            "type": "aws",
            "region": deploy.region,
            "cache_stopped_nodes": False,  # a stopped spot node keeps its disk, with the data on it
            # What it opens besides is SSH, and everything between its own nodes.
            "security_group": {"GroupName": "medray-ray", "IpPermissions": []},
        }
    return {
        "type": "gcp",
        "region": deploy.region,
        "availability_zone": deploy.zone,
        "project_id": deploy.project,
    }


def _node_type(deploy: Launcher, nodes: Nodes, *, head: bool = False) -> dict[str, Any]:
    node = _on_aws(deploy, nodes, head=head) if isinstance(deploy, Aws) else _on_gcp(deploy, nodes)
    return {
        "resources": _resources(nodes, head=head),
        "labels": {**nodes.labels, "market": "spot" if nodes.spot else "on-demand"},
        "min_workers": 0 if head else nodes.fewest,
        "max_workers": 0 if head else nodes.most,
        "node_config": node,
    }


def _resources(nodes: Nodes, *, head: bool) -> Mapping[str, int]:
    if head:
        return {"CPU": 0}
    # A tenth stays with the system and Ray itself.
    memory = nodes.memory_gib * 2**30 * 9 // 10
    return {"CPU": nodes.cpus, "memory": memory, **({"GPU": nodes.gpus} if nodes.gpus else {})}


def _on_aws(deploy: Aws, nodes: Nodes, *, head: bool) -> dict[str, Any]:
    disk = {
        "VolumeSize": nodes.disk_gib,
        "VolumeType": "gp3",
        "Encrypted": True,
        "DeleteOnTermination": True,
    }
    return {
        "InstanceType": nodes.machine,
        "ImageId": deploy.image,
        "IamInstanceProfile": {"Name": deploy.head_profile if head else deploy.worker_profile},
        # Version 2 of the metadata service alone, out of reach of what runs in containers.
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": disk}],
        **({"InstanceMarketOptions": {"MarketType": "spot"}} if nodes.spot else {}),
    }


def _on_gcp(deploy: Gcp, nodes: Nodes) -> dict[str, Any]:
    disk = {
        "boot": True,
        "autoDelete": True,
        "type": "PERSISTENT",
        "initializeParams": {"diskSizeGb": nodes.disk_gib, "sourceImage": deploy.image},
    }
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    scheduling = {"onHostMaintenance": "TERMINATE"} if nodes.gpus or nodes.spot else {}
    if nodes.spot:
        scheduling |= {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    return {
        "machineType": nodes.machine,
        "disks": [disk],
        "serviceAccounts": [{"email": deploy.service_account, "scopes": scopes}],
        "shieldedInstanceConfig": {"enableSecureBoot": not nodes.gpus, "enableVtpm": True},
        **({"scheduling": scheduling} if scheduling else {}),
    }
