"""Manifests for KubeRay, made of a profile: plain values, dumped as YAML by whoever asks."""

from dataclasses import dataclass
from typing import Any

from medray.spec.deploy import Kubernetes, Nodes

API = "ray.io/v1"
TOKENS = "medray-serve-tokens"  # a Secret with the key `tokens`: hashes, no token
MOUNT = "/etc/medray"
DRAIN_S = 30  # of the grace period, for what comes after Ray's draining


@dataclass(frozen=True)
class Task:
    """A job to put into manifests.

    Args:
        name: of the objects.
        job: text of the job file.
        cron: when, as cron has it; empty: once.
        time_zone: of `cron`.
    """

    name: str
    job: str
    cron: str = ""
    time_zone: str = "Etc/UTC"


def cluster_manifests(name: str, deploy: Kubernetes, ray_version: str) -> list[dict[str, Any]]:
    """A RayCluster that grows and shrinks, and a wall around it."""
    cluster = _object("RayCluster", name, deploy, cluster_spec(deploy, ray_version))
    return [_wall(name, deploy), cluster]


def job_manifests(
    task: Task, profile: str, deploy: Kubernetes, ray_version: str
) -> list[dict[str, Any]]:
    """A RayJob, or a RayCronJob where the task says when: a cluster of its own for each run.

    Args:
        task: what to run.
        profile: text of the cluster profile; it comes along in a ConfigMap, as the job does.
        deploy: what the cluster is made of.
        ray_version: of the image.
    """
    files = {"job.yaml": task.job, "cluster.yaml": profile}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(task.name, deploy)}
    command = (
        f"python -m medray run {MOUNT}/job.yaml --cluster {MOUNT}/cluster.yaml "
        f"--storage {deploy.storage}"
    )
    spec = {
        "entrypoint": command,
        "backoffLimit": 2,  # each is a new cluster, and goes on where the last one stopped
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "rayClusterSpec": cluster_spec(deploy, ray_version, config=task.name),
    }
    job = _object("RayJob", task.name, deploy, spec)
    if task.cron:
        # Ticks may overlap or be walked one by one: equal jobs are one run to the ledger.
        schedule = {"schedule": task.cron, "timeZone": task.time_zone, "suspend": False}
        job = _object("RayCronJob", task.name, deploy, {**schedule, "jobTemplate": spec})
    return [{**config, "data": files}, job]


def service_manifests(
    name: str, application: dict[str, Any], deploy: Kubernetes, ray_version: str, dump: Any
) -> list[dict[str, Any]]:
    """A RayService.

    Args:
        name: of the service.
        application: of Ray Serve, as `serve build` writes it.
        deploy: what the cluster is made of.
        ray_version: of the image.
        dump: makes text of `application`; KubeRay wants it as one string.
    """
    cluster = cluster_spec(deploy, ray_version)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        # Any node may hold the ingress. The file is its group's to read, and nobody else's.
        pod["securityContext"]["fsGroup"] = 1000
        secret = {"secretName": TOKENS, "defaultMode": 0o440}
        pod["volumes"] = [{"name": TOKENS, "secret": secret}]
        mount = {"name": TOKENS, "mountPath": f"{MOUNT}/tokens", "readOnly": True}
        pod["containers"][0]["volumeMounts"] = [mount]
    spec = {
        "serveConfigV2": dump({"applications": [application]}),
        "rayClusterConfig": cluster,
    }
    return [_wall(name, deploy), _object("RayService", name, deploy, spec)]


def cluster_spec(deploy: Kubernetes, ray_version: str, config: str = "") -> dict[str, Any]:
    """The spec of a RayCluster; `config` names a ConfigMap to mount on its head."""
    return {
        "rayVersion": ray_version,
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": int(deploy.idle_minutes * 60),
            "upscalingMode": "Default",
        },
        "authOptions": {"mode": "token", "secretName": deploy.token_secret},
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            "rayStartParams": {"num-cpus": "0", "num-gpus": "0"},
            "template": _pod(deploy, deploy.head, "ray-head", config),
        },
        "workerGroupSpecs": [
            {
                "groupName": group,
                "replicas": nodes.fewest,
                "minReplicas": nodes.fewest,
                "maxReplicas": nodes.most,
                "labels": nodes.labels,
                "rayStartParams": {},
                "template": _pod(deploy, nodes, "ray-worker", ""),
            }
            for group, nodes in deploy.workers.items()
        ],
    }


def _pod(deploy: Kubernetes, nodes: Nodes, name: str, config: str) -> dict[str, Any]:
    resources = {"cpu": str(nodes.cpus), "memory": f"{nodes.memory_gib}Gi"}
    if nodes.gpus:
        resources["nvidia.com/gpu"] = str(nodes.gpus)
    container: dict[str, Any] = {
        "name": name,
        "image": deploy.image,
        # Equal, so that Kubernetes never takes back what Ray has handed out.
        "resources": {"requests": resources, "limits": resources},
        "env": [
            {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"},
            {
                "name": "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S",
                "value": str(deploy.grace_s - DRAIN_S),
            },
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "serviceAccountName": deploy.service_account,
        "terminationGracePeriodSeconds": deploy.grace_s,
        "restartPolicy": "Never",  # what autoscaler v2 asks for
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    if nodes.gpus:
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    if config:
        spec["volumes"] = [{"name": "medray", "configMap": {"name": config}}]
        container["volumeMounts"] = [{"name": "medray", "mountPath": MOUNT, "readOnly": True}]
    return {"spec": spec}


def _wall(name: str, deploy: Kubernetes) -> dict[str, Any]:
    """Nobody outside of the namespace reaches Ray: whoever does can run code."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(name, deploy),
        "spec": {
            "podSelector": {"matchLabels": {"ray.io/is-ray-node": "yes"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
        },
    }


def _object(kind: str, name: str, deploy: Kubernetes, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": _meta(name, deploy), "spec": spec}


def _meta(name: str, deploy: Kubernetes) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "medray"}
    return {"name": name, "namespace": deploy.namespace, "labels": labels}
