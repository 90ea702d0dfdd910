"""What a bucket adds: lost answers, altered bytes, refusals with their codes, no secrets."""

import json
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest

from medray.clock import SYSTEM
from medray.errors import DataError, RetryableError
from medray.storage.store.bucket_admin import Control
from medray.storage.store.objects import Objects
from medray.storage.store.probe import probe
from medray.storage.store.remote import SUM
from medray.storage.store.store_errors import LASTING
from tests.servers.bucket import Bucket
from tests.servers.metadata import a_metadata_service
from tests.servers.process import Server
from tests.servers.proxy import Faults, Proxy


def test_a_write_whose_answer_is_lost_is_ours_all_the_same(bucket: Bucket) -> None:
    sure = bucket.objects()
    with Proxy(bucket.server.endpoint, Faults(lost_reply=0.6), seed=3) as proxy:
        shaky = bucket.objects(endpoint=proxy.endpoint)
        for won in (True, False):
            answers = {shaky.put_new(f"a/{n}", b"same for all") for n in range(12)}
            assert answers == {won}
        for n in range(12):
            _, tag = sure.get_tagged(f"a/{n}")
            assert shaky.swap(f"a/{n}", b"new", tag)
            assert not shaky.swap(f"a/{n}", b"newer", tag)
            assert sure.get(f"a/{n}") == b"new"
        assert proxy.counts["lost_reply"] > 5


def test_altered_answers_are_read_again(bucket: Bucket) -> None:
    sure, data = bucket.objects(), bytes(range(256)) * 40
    sure.put("a", data)
    with Proxy(bucket.server.endpoint, Faults(flip=0.2, truncate=0.1), seed=1) as proxy:
        shaky = bucket.objects(endpoint=proxy.endpoint)
        for _ in range(20):
            assert shaky.get("a") == data
        assert proxy.counts["flip"] > 2


def test_an_object_that_is_damaged_where_it_lies_is_named(bucket: Bucket) -> None:
    root = bucket.objects()
    obstore.put(root._store, "a/b", b"other", attributes={SUM: "00000000"})
    with pytest.raises(DataError, match="a/b") as caught:
        root.get("a/b")
    assert caught.value.code == "damaged-object"


def test_large_objects_go_in_parts_and_come_whole(bucket: Bucket, tmp_path: Path) -> None:
    root, data = bucket.objects(), bytes(range(251)) * 160_000  # 40 MB, three parts
    root.put("a", data)
    assert root.get("a") == data
    with (tmp_path / "copy").open("wb") as file:
        root.download("a", file)
    assert (tmp_path / "copy").read_bytes() == data
    assert root.get_ranges("a", [0, 20_000_000], [2, 20_000_003]) == [
        data[:2],
        data[20_000_000:20_000_003],
    ]


def test_it_travels_as_a_source_of_credentials_not_as_secrets(bucket: Bucket) -> None:
    root = bucket.objects()
    root.put("a", b"1")
    travelled = pickle.dumps(root)
    assert b"medraysecret" not in travelled
    assert pickle.loads(travelled).get("a") == b"1"
    assert "secret" not in repr(root)


def test_prefixes_do_not_see_each_other(bucket: Bucket) -> None:
    one, other = bucket.objects("one"), bucket.objects("one-more")
    one.put("a", b"1")
    other.put("b", b"2")
    assert [entry.path for entry in one.walk()] == ["a"]
    one.delete(["a", "b"])
    assert [entry.path for entry in other.walk()] == ["b"]


def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    root = Objects(bucket.profile().beside("s3://nobodys-bucket/x"))
    calls: list[Any] = [
        lambda: root.put("a", b"1"),
        lambda: root.get("a"),
        lambda: list(root.walk()),
    ]
    for call in [*calls, lambda: probe(root)]:
        with pytest.raises(RetryableError, match="no-such-bucket") as caught:
            call()
        assert caught.value.exit_status == 5
        assert "medray storage init" in caught.value.hint


def test_expired_credentials_are_renewed_once_and_then_told(bucket: Bucket) -> None:
    with Proxy(bucket.server.endpoint, Faults(expire_after=0)) as proxy:
        with pytest.raises(RetryableError, match="credentials-expired"):
            bucket.objects(endpoint=proxy.endpoint).get("a")
        assert proxy.requests == 2


def test_a_wrong_key_and_none(ceph_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ceph_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket.new(ceph_server)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(RetryableError, match="bad-credentials"):
        bucket.objects().put("a", b"1")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(RetryableError, match="no-credentials") as caught:
        bucket.objects().put("a", b"1")
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_keys_of_a_file(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in bucket.server.environment:
        monkeypatch.delenv(name)
    folder = Path.home() / ".aws"
    folder.mkdir(parents=True)
    keys = f"aws_access_key_id = {bucket.server.access_key}\naws_secret_access_key = "
    (folder / "credentials").write_text(f"[lab]\n{keys}{bucket.server.secret_key}\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    root = bucket.objects(credentials="file")
    root.put("a", b"1")
    assert root.get("a") == b"1"


def test_the_role_of_the_machine(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in bucket.server.environment:
        monkeypatch.delenv(name)
    with a_metadata_service() as cloud:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.url)
        with pytest.raises(RetryableError, match="no-credentials") as caught:
            bucket.objects(credentials="instance").put("a", b"1")
        assert "role" in caught.value.hint
        cloud.keys = {
            "AccessKeyId": bucket.server.access_key,
            "SecretAccessKey": bucket.server.secret_key,
            "Token": "",
            "Expiration": (SYSTEM.now() + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        root = bucket.objects(credentials="instance")
        root.put("a", b"1")
        assert root.get("a") == b"1"
        assert ("PUT", "/latest/api/token") in cloud.asked, "version 2 of the metadata service"


def test_objects_are_encrypted_by_the_key_that_is_named(
    moto_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket.new(moto_server)
    root = bucket.objects("p", encryption="sse-kms", kms_key="a-key")
    large = bytes(40_000_000)  # in parts
    assert root.put_new("a", b"1")
    _, tag = root.get_tagged("a")
    assert root.swap("a", b"2", tag)
    root.put("large", large)
    assert (root.get("a"), root.get("large") == large) == (b"2", True)
    client = Control(root.profile)._client
    for name in ("a", "large"):
        told = client.head_object(Bucket=bucket.name, Key=f"p/{name}")
        assert (told["ServerSideEncryption"], told["SSEKMSKeyId"]) == ("aws:kms", "a-key")


def test_an_assumed_role(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    role = "arn:aws:iam::123456789012:role/medray"
    root = Bucket.new(moto_server).objects(credentials="assume-role", role_arn=role)
    root.put("a", b"1")
    assert root.get("a") == b"1"
    assert json.loads(root.profile.model_dump_json())["role_arn"] == role


def test_a_store_that_does_not_answer_ends_within_its_budget(bucket: Bucket) -> None:
    with Proxy(bucket.server.endpoint, Faults(slow_down=1.0)) as proxy:
        root = bucket.objects(endpoint=proxy.endpoint, retries=3)
        with pytest.raises(RetryableError, match="storage-failed") as caught:
            root.get("a")
        assert proxy.requests == 4
    assert caught.value.code not in LASTING
