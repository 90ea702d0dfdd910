"""Setting up a bucket and looking at it, on moto and Ceph; the policy; the commands."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from medray.cli import main
from medray.errors import SpecError
from medray.spec.storage import Storage
from medray.storage.store.bucket_admin import Control
from medray.storage.store.policy import policy
from tests.servers.bucket import Bucket
from tests.servers.process import Server


def test_init_makes_the_bucket_and_check_is_content(bucket: Bucket) -> None:
    profile = bucket.profile("root").beside(f"s3://{bucket.name}-more/root")
    control = Control(profile)
    assert [(item.name, item.verdict) for item in control.check()] == [("bucket", "failed")]
    done = control.init()
    assert done[0] == f"made the bucket {profile.bucket}"
    verdicts = {item.name: item.verdict for item in control.check()}
    assert verdicts.pop("encryption") == "advice"
    assert set(verdicts) == {"bucket", "region", "versioning", "lifecycle", "conditional writes"}
    assert set(verdicts.values()) == {"ok"}
    assert control.init() == [], "a second time there is nothing to do"


def test_init_keeps_the_rules_of_others(bucket: Bucket) -> None:
    control = Control(bucket.profile("root"))
    theirs = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 9},
    }
    control._call("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [theirs]})
    control.init()
    assert {rule["ID"] for rule in control._rules()} == {"theirs", "medray-abandoned-uploads"}


def test_encryption_is_set_and_told(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    control = Control(Bucket.new(moto_server).profile("root", encryption="sse-s3"))
    assert "objects are encrypted by default: sse-s3" in control.init()
    assert {item.name: item.detail for item in control.check()}["encryption"].endswith("sse-s3")


def test_the_policy_names_the_prefix_and_nothing_else() -> None:
    allowed = policy(Storage(url="s3://BUCKET/PREFIX"))
    stored = Path(__file__).parents[2] / "storage/policies/least-privilege.json"
    assert json.loads(stored.read_text()) == allowed
    by_name = {item["Sid"]: item for item in allowed["Statement"]}
    assert by_name["Objects"]["Resource"] == ["arn:aws:s3:::BUCKET/PREFIX/*"]
    assert by_name["List"]["Condition"] == {"StringLike": {"s3:prefix": ["PREFIX", "PREFIX/*"]}}
    assert "*" not in "".join(action for item in allowed["Statement"] for action in item["Action"])
    with_key = policy(Storage(url="s3://b", encryption="sse-kms", kms_key="k"))
    assert with_key["Statement"][-1]["Resource"] == ["arn:aws:kms:us-east-1:*:key/k"]


def test_a_folder_is_no_bucket() -> None:
    with pytest.raises(SpecError, match="not-a-bucket"):
        Control(Storage(url="./folder"))


def test_commands(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    profile = tmp_path / "mine.yaml"
    profile.write_text(yaml.safe_dump(bucket.profile("root").model_dump(exclude_unset=True)))
    option = ["--storage", str(profile)]
    made = CliRunner().invoke(main, ["storage", "init", *option])
    assert made.exit_code == 0
    written = json.loads((tmp_path / f"storage/policies/{bucket.name}.json").read_text())
    checked = CliRunner().invoke(main, ["storage", "check", *option, "--json"])
    assert checked.exit_code == 0
    answer = json.loads(checked.stdout)
    assert answer["policy"] == written
    assert answer["checks"][0]["name"] == "bucket"
    elsewhere = bucket.profile().beside("s3://nobodys-bucket/x")
    profile.write_text(yaml.safe_dump(elsewhere.model_dump(exclude_unset=True)))
    assert CliRunner().invoke(main, ["storage", "check", *option]).exit_code == 5
