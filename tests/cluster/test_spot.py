"""What clouds say of a node that they take away, as a real server says it."""

import urllib.error
from collections.abc import Iterator

import pytest

from medray.clock import SYSTEM
from medray.cluster.spot import GCP_NOTICE_S, ComputeEngine, Ec2
from tests.servers.metadata import Metadata, a_metadata_service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # not for link-local addresses
    with a_metadata_service() as one:
        yield one


def in_s(seconds: float) -> str:
    from datetime import timedelta

    return (SYSTEM.now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_ec2_is_asked_with_one_token_and_tells_the_time_that_is_left(service: Metadata) -> None:
    cloud = Ec2(service.url)
    assert [cloud.left_s(), cloud.left_s()] == [None, None]
    assert [method for method, _ in service.asked] == ["PUT", "GET", "GET"]
    service.time = in_s(120)
    left = cloud.left_s()
    assert left is not None
    assert 117 < left <= 120
    service.time = in_s(-5)
    assert cloud.left_s() == 0


def test_a_token_that_has_run_out_is_asked_for_again(service: Metadata) -> None:
    cloud = Ec2(service.url)
    assert cloud.left_s() is None
    service.tokens.clear()
    with pytest.raises(urllib.error.HTTPError):
        cloud.left_s()
    service.time = in_s(60)
    assert cloud.left_s() is not None, "the next look"


def test_compute_engine_says_true(service: Metadata) -> None:
    cloud = ComputeEngine(service.url)
    assert cloud.left_s() is None
    service.time = "now"
    assert cloud.left_s() == GCP_NOTICE_S
