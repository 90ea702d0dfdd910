"""What clusters are made of: valid by Ray's own validator, private, and as the profile says."""

import importlib.metadata
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from medray.errors import SpecError
from medray.jobs.provision.render import Wanted, render
from medray.jobs.provision.schedule_render import kubernetes
from medray.jobs.schedule import schedules
from medray.spec.serving import Serving
from medray.storage.store.objects import Objects
from medray.version import __version__

ROOT = Path(__file__).parent.parent.parent
NIGHTLY = {"kind": "ingest", "format": {"name": "nifti"}, "source": "raw", "output": "heads"}
CRDS = os.environ.get("MEDRAY_KUBERAY_CRDS", "")
FILES = {"aws": ROOT / "ray-config.yaml", "gcp": ROOT / "cluster/launch/gcp-ray-config.yaml"}


@pytest.fixture(autouse=True)
def _at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("MEDRAY_AMI", "MEDRAY_GCP_PROJECT", "MEDRAY_GCP_ACCOUNT", "MEDRAY_STORAGE"):
        monkeypatch.delenv(name, raising=False)


def rendered(name: str, **wanted: Any) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(render(name, Wanted(**wanted))))


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_launcher_files_are_those_of_the_profiles_and_pass_rays_validator(name: str) -> None:
    from ray.autoscaler._private.util import fill_node_type_min_max_workers, validate_config

    assert FILES[name].read_text() == render(name), f"medray cluster render {name} > {FILES[name]}"
    config = yaml.safe_load(FILES[name].read_text())
    fill_node_type_min_max_workers(config)
    defaults = {"cluster_synced_files": [], "rsync_exclude": [], "rsync_filter": []}
    validate_config({**defaults, **config})
    assert config["max_workers"] == 12


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_nothing_is_installed_by_a_name_that_anybody_may_take(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip is told to install is pinned, of Ray, or a file that is copied there."""
    monkeypatch.delenv("MEDRAY_WHEEL", raising=False)
    (config,) = rendered(name)
    commands = [word for key, value in config.items() if key.endswith("commands") for word in value]
    installs = [command for command in commands if "pip install" in command]
    assert len(installs) == 1
    asked = shlex.split(installs[0].partition("pip install")[2].rstrip(")"))
    assert asked[0] == "--quiet"
    assert asked[1] == f"ray[default,data,serve,train]=={importlib.metadata.version('ray')}"
    assert asked[2:] == [f"~/.medray/medray-{__version__}-py3-none-any.whl[all]"]
    wheel = asked[2].removesuffix("[all]")
    assert config["file_mounts"][wheel] == f"dist/medray-{__version__}-py3-none-any.whl"


def profile_of(tmp_path: Path, wheel: str | None) -> str:
    document = yaml.safe_load((ROOT / "cluster/aws.yaml").read_text())
    document["deploy"]["wheel"] = wheel
    path = tmp_path / "lab.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_an_image_that_has_medray_installs_nothing(tmp_path: Path) -> None:
    assert "pip" not in render(profile_of(tmp_path, None))


@pytest.mark.parametrize(
    ("wheel", "code"),
    [
        ("medray", "bad-field"),
        ("medray==0.1.0", "bad-field"),
        ("x; true #-py3-none-any.whl", "bad-field"),
        ("dist/other-0.1.0-py3-none-any.whl", "other-version"),
        ("dist/medray-9.9-py3-none-any.whl", "other-version"),
    ],
)
def test_other_medrays_are_refused(tmp_path: Path, wheel: str, code: str) -> None:
    with pytest.raises(SpecError) as caught:
        render(profile_of(tmp_path, wheel))
    assert caught.value.code == code


def test_aws_nodes_are_private() -> None:
    config = rendered("aws")[0]
    kinds = config["available_node_types"]
    assert "InstanceMarketOptions" not in kinds["head"]["node_config"], "the head is on demand"
    assert kinds["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert kinds["gpu"]["labels"] == {"pool": "gpu", "market": "spot"}
    for kind in kinds.values():
        node = kind["node_config"]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert node["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
        assert node["IamInstanceProfile"]["Name"].startswith("medray-")
    assert kinds["head"]["resources"] == {"CPU": 0}, "no work where the drivers are"
    assert kinds["gpu"]["resources"]["GPU"] == 1
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    for command in starts:
        if " start " in command:
            assert "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in command
    assert "--dashboard-host=127.0.0.1" in starts[1]
    assert config["provider"]["security_group"]["IpPermissions"] == []


def test_kubernetes_clusters_ask_for_the_token_and_let_work_end() -> None:
    wall, cluster = rendered("kuberay")
    assert (wall["kind"], cluster["kind"]) == ("NetworkPolicy", "RayCluster")
    spec = cluster["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "medray-ray-token"}
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    assert {name: group["minReplicas"] for name, group in groups.items()} == {"cpu": 0, "gpu": 0}
    assert groups["gpu"]["labels"] == {"pool": "gpu"}
    pod = groups["gpu"]["template"]["spec"]
    drain = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] == 120
    assert int(drain["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) < 120
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_jobs_bring_their_files_and_services_their_models() -> None:
    config, job = rendered("kuberay", job="hippocampus")
    assert yaml.safe_load_all(config["data"]["job.yaml"])
    assert config["data"]["job.yaml"] == (ROOT / "jobs/hippocampus.yaml").read_text()
    assert job["spec"]["entrypoint"].startswith("python -m medray run /etc/medray/job.yaml ")
    mounted = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert mounted[0]["configMap"]["name"] == config["metadata"]["name"]
    cron = rendered("kuberay", job="hippocampus", cron="0 2 * * *", time_zone="Europe/Berlin")[1]
    assert (cron["kind"], cron["spec"]["timeZone"]) == ("RayCronJob", "Europe/Berlin")
    assert cron["spec"]["jobTemplate"] == job["spec"]
    service = rendered("kuberay", models=("hippocampus-unet",))[1]
    applications = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    args = applications[0]["args"]
    assert Serving.model_validate(args).models == ("hippocampus-unet",)
    module, _, name = applications[0]["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    groups = service["spec"]["rayClusterConfig"]
    for group in (groups["headGroupSpec"], *groups["workerGroupSpecs"]):
        (mount,) = group["template"]["spec"]["containers"][0]["volumeMounts"]
        assert args["token_file"].startswith(mount["mountPath"])


def test_a_schedule_becomes_a_cron_job_of_its_own(objects: Objects) -> None:
    made = schedules.add(
        objects,
        "ct_head.nightly",
        {**NIGHTLY},
        cron="0 22 * * *",
        tz="Europe/Berlin",
    )
    config, cron = rendered("kuberay", schedule=made)
    assert (cron["kind"], cron["metadata"]["name"]) == ("RayCronJob", "medray-ct-head-nightly")
    assert (cron["spec"]["schedule"], cron["spec"]["timeZone"]) == ("0 22 * * *", "Europe/Berlin")
    assert list(yaml.safe_load_all(config["data"]["job.yaml"])) == made.documents
    with pytest.raises(SpecError, match="not-on-a-launcher"):
        render("aws", Wanted(schedule=made))


def test_what_cannot_be_rendered_says_so() -> None:
    with pytest.raises(SpecError, match="nothing-to-render"):
        render("ray-jobs")
    with pytest.raises(SpecError, match="not-on-a-launcher"):
        render("aws", Wanted(job="hippocampus"))
    with pytest.raises(SpecError, match="not-a-ray-cluster"):
        render("local")


@pytest.mark.needs("kuberay-crds")
def test_manifests_match_the_schemas_of_kuberay() -> None:
    import jsonschema

    wanted = ({}, {"job": "hippocampus"}, {"job": "hippocampus", "cron": "0 2 * * *"})
    for options in (*wanted, {"models": ("m",)}):
        manifest = rendered("kuberay", **options)[1]
        kind = manifest["kind"].lower()
        crd = yaml.safe_load((Path(CRDS) / f"ray.io_{kind}s.yaml").read_text())
        version = next(item for item in crd["spec"]["versions"] if item["name"] == "v1")
        schema = _strict(version["schema"]["openAPIV3Schema"])
        jsonschema.validate(manifest, schema)
        if kind == "raycluster":
            # Kubernetes' own schema of pods comes along: that of the scheduler's CronJob is one.
            head = schema["properties"]["spec"]["properties"]["headGroupSpec"]["properties"]
            cron = yaml.safe_load(kubernetes("s3", "here/medray:1"))
            pod = cron["spec"]["jobTemplate"]["spec"]["template"]
            jsonschema.validate(pod, head["template"])


def _strict(schema: Any) -> Any:
    """The schema with unknown fields refused, as the API server prunes them in silence."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    known = "properties" in schema and isinstance(schema["properties"], dict)
    if known and schema.get("type") == "object" and len(schema["properties"]) > 2:
        closed.setdefault("additionalProperties", False)
    return closed
