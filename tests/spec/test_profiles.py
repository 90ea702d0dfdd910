"""Profiles of clusters: what is unsafe or can't work is refused before anything is sent."""

from typing import Any

import pytest
from pydantic import ValidationError

from medray.spec.profiles import CLUSTER, Local, Pool, RayCluster


def ray(**fields: Any) -> RayCluster:
    made = CLUSTER.validate_python({"kind": "ray", **fields})
    assert isinstance(made, RayCluster)
    return made


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://10.0.0.7:8265", "TLS"),
        ("http://0.0.0.0:8265", "TLS"),
        ("http://127.0.0.1.example.org:8265", "TLS"),
        ("https://me:secret@head:8265", "its own file"),
        ("ray://head:10001", "http"),
        ("https://head/some/path", "http"),
    ],
)
def test_unsafe_addresses_are_refused(address: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ray(address=address)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8265", "http://[::1]:8265", "https://ray.example.org"]
)
def test_loopback_and_tls_are_fine(address: str) -> None:
    assert ray(address=f"{address}/").address == address


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "db_password", "OPENAI_API_KEY"]
)
def test_secrets_are_not_forwarded(name: str) -> None:
    with pytest.raises(ValidationError, match="looks like a secret"):
        ray(forward=["AWS_REGION", name])


def test_pools_by_kind_of_step() -> None:
    profile = ray(
        default_pool={"workers": [1, 4], "labels": {"pool": "cpu"}},
        pools={"train": {"workers": 2, "gpus": 1}},
    )
    assert profile.pool("train") == Pool(workers=2, gpus=1)
    assert profile.pool("ingest") == Pool(workers=(1, 4), labels={"pool": "cpu"})
    for wrong in ([4, 1], 0, [0, 2]):
        with pytest.raises(ValidationError, match="fewest, most"):
            ray(default_pool={"workers": wrong})
    with pytest.raises(ValidationError, match="how many workers"):
        ray(pools={"train": {"gpus": 1}})


def test_a_local_pool_is_the_same_for_all_steps() -> None:
    local = Local(kind="local", workers=3, cpus_per_worker=2, memory_bytes_per_worker=5)
    assert local.pool("train") == local.pool("ingest") == Pool(workers=3, cpus=2, memory_bytes=5)
