"""`ray up` on EC2, against moto: Ray's own bootstrap and provider, with the file that ships."""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.servers.process import Server

ROOT = Path(__file__).parent.parent.parent
REGION = "eu-central-1"


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account as the documentation asks for it: two instance profiles; its EC2."""
    from ray.autoscaler._private.aws import utils

    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server.endpoint)
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()
    iam = boto3.client("iam", region_name=REGION)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    for name in ("medray-head", "medray-node"):
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    ec2 = boto3.client("ec2", region_name=REGION)
    yield ec2
    iam.close()
    ec2.close()
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()


def bootstrapped() -> dict[str, Any]:
    """What Ray makes of the file before it starts anything."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / "ray-config.yaml").read_text()))
    validate_config(config)
    return dict(bootstrap_aws(config))


def launch(config: dict[str, Any], kind: str) -> None:
    """One node of a kind, as the autoscaler starts it."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME, TAG_RAY_USER_NODE_TYPE

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    tags = {
        TAG_RAY_NODE_KIND: "head" if kind == "head" else "worker",
        TAG_RAY_NODE_NAME: kind,
        TAG_RAY_USER_NODE_TYPE: kind,
    }
    node = copy.deepcopy(config["available_node_types"][kind]["node_config"])
    provider.create_node(node, tags, 1)


def test_it_starts_private_nodes(aws: Any) -> None:
    config = bootstrapped()
    for kind in ("head", "cpu", "gpu"):
        launch(config, kind)
    nodes = {
        next(tag["Value"] for tag in one["Tags"] if tag["Key"] == "ray-user-node-type"): one
        for each in aws.describe_instances()["Reservations"]
        for one in each["Instances"]
    }
    assert set(nodes) == {"head", "cpu", "gpu"}
    spot = {kind: node.get("InstanceLifecycle") == "spot" for kind, node in nodes.items()}
    assert spot == {"head": False, "cpu": True, "gpu": True}
    roles = {kind: node["IamInstanceProfile"]["Arn"].split("/")[-1] for kind, node in nodes.items()}
    assert roles == {"head": "medray-head", "cpu": "medray-node", "gpu": "medray-node"}
    for node in nodes.values():
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        volumes = [one["Ebs"]["VolumeId"] for one in node["BlockDeviceMappings"]]
        for volume in aws.describe_volumes(VolumeIds=volumes)["Volumes"]:
            assert volume["Encrypted"]
        assert [group["GroupName"] for group in node["SecurityGroups"]] == ["medray-ray"]


def test_only_ssh_comes_in_and_the_key_is_the_owners_alone(aws: Any) -> None:
    config = bootstrapped()
    (group,) = aws.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["medray-ray"]}]
    )["SecurityGroups"]
    from_outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in from_outside] == [(22, 22)]
    among_nodes = [rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"]]
    assert [rule["UserIdGroupPairs"][0]["GroupId"] for rule in among_nodes] == [group["GroupId"]]
    key = Path(config["auth"]["ssh_private_key"])
    assert key.stat().st_mode & 0o077 == 0
