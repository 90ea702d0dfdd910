"""Storage profiles: where bytes live, TLS, and no secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from medray.errors import SpecError
from medray.spec.load import storage_profile
from medray.spec.storage import Storage, at


def test_bucket_and_prefix() -> None:
    storage = Storage(url="s3://bucket/a/b c/")
    assert (storage.bucket, storage.prefix, storage.is_bucket) == ("bucket", "a/b c", True)
    assert Storage(url="s3://bucket").prefix == ""
    assert not Storage(url="./folder").is_bucket


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:1"]
)
def test_loopback_may_go_without_tls(endpoint: str) -> None:
    assert Storage(url="s3://b/p", endpoint=endpoint).plain_http


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"endpoint": "http://10.0.0.1:9000"}, "TLS is required"),
        ({"endpoint": "http://localhost.example.org"}, "TLS is required"),
        ({"endpoint": "https://key:secret@host"}, "secrets do not stand"),
        ({"endpoint": "host:9000"}, "an endpoint is"),
        ({"url": "s3://key:secret@bucket/p"}, "secrets do not stand"),
        ({"url": "s3://"}, "bucket is missing"),
        ({"url": "ftp://host/x"}, "begins with"),
        ({"url": "./folder", "region": "eu-central-1"}, "only a bucket has region"),
        ({"role_arn": "arn:aws:iam::1:role/x"}, "role_arn belongs"),
        ({"credentials": "assume-role"}, "role_arn belongs"),
        ({"encryption": "sse-kms"}, "kms_key belongs"),
        ({"access_key": "x"}, "Extra inputs"),
        ({"secret_access_key": "x"}, "Extra inputs"),
    ],
)
def test_refused(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Storage.model_validate({"url": "s3://bucket/p", **fields})


def test_refused_by_url_alone_as_one_of_our_errors() -> None:
    with pytest.raises(SpecError, match="bad-storage"):
        at("gs://bucket/x")


def test_beside_keeps_the_service_and_forgets_it_for_a_folder() -> None:
    storage = Storage(url="s3://b/p", endpoint="https://h", region="eu-west-1", retries=3)
    other = storage.beside("s3://c/q")
    assert (other.bucket, other.endpoint, other.region, other.retries) == (
        "c",
        "https://h",
        "eu-west-1",
        3,
    )
    assert storage.beside("/folder") == Storage(url="/folder")


@pytest.mark.parametrize("name", ["s3", "ceph", "minio"])
def test_shipped_profiles(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"MEDRAY_{name.upper()}_URL", "s3://mine/here")
    storage = storage_profile(name)
    assert (storage.bucket, storage.prefix, storage.credentials) == ("mine", "here", "env")
