"""Values of the environment are used and not kept; URLs with secrets are refused, unquoted."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from medray.cli import main
from medray.errors import SpecError
from medray.jobs.driver import job_id
from medray.jobs.serve import serving
from medray.jobs.storage_by_name import open_storage
from medray.jobs.submit import forwarded, require_forwarded
from medray.jobs.tracking import database
from medray.log import JsonFormatter
from medray.spec.load import check_step, cluster_profile, dump, read_job, storage_profile
from medray.spec.profiles import RayCluster
from medray.spec.storage import at
from medray.veil import has_userinfo, veiled

SECRET = "zqSecret/Key+9"
URLS = [
    f"s3://AKIAZQ:{SECRET}@bucket/x", "s3://AKIAZQ@bucket", f"https://u:{SECRET}@host/x",
    f"http://:{SECRET}@127.0.0.1:9000", f"s3://AKIAZQ:{SECRET}", "postgresql://u:zqSecret@db:5432/m",
    "file://u:zqSecret@host/x", "memory://u:zqSecret@/",
]  # fmt: skip
PLAIN = [
    "s3://bucket/a@b", "https://host:8080/x@y", "http://[::1]:9000/x", "file:///a/b@c",
    "memory:///", "s3://bucket", "http://127.0.0.1:9000", "sqlite:////home/a@b/mlflow.db",
    "a@b.example", "x: y@z", "see http://127.0.0.1:8265, or http://host:80; that",
]  # fmt: skip
INGEST = {"kind": "ingest", "format": {"name": "image"}, "source": "raw", "output": "made"}


def test_who_asks_is_told_from_where() -> None:
    assert [has_userinfo(url) for url in URLS] == [True] * len(URLS)
    assert [text for text in PLAIN if has_userinfo(text)] == []
    for url in URLS:
        shown = veiled(f"cannot read {url}.")
        assert "Secret" not in shown
        assert "AKIA" not in shown


def refused(what: Any, *args: Any, **named: Any) -> str:
    with pytest.raises(SpecError) as caught, what(*args, **named):
        pass
    error = caught.value
    assert "Secret" not in str(error)
    assert "AKIA" not in str(error)
    return error.code


@pytest.mark.parametrize("url", URLS)
def test_a_url_with_a_secret_is_refused_wherever_one_is_taken(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "storage.yaml").write_text(json.dumps({"url": "s3://b", "endpoint": url}))
    (tmp_path / "store.yaml").write_text(json.dumps({"url": url}))
    (tmp_path / "cluster.yaml").write_text(json.dumps({"kind": "ray", "address": url}))
    (tmp_path / "job.yaml").write_text(json.dumps({**INGEST, "source": url}))
    found = [
        refused(at, url),
        refused(open_storage, url),
        refused(storage_profile, "storage.yaml"),
        refused(storage_profile, "store.yaml"),
        refused(cluster_profile, "cluster.yaml"),
        refused(cluster_profile, url),
        refused(read_job, "job.yaml"),
        refused(read_job, url),
        refused(read_job, {**INGEST, "format": {"name": "nifti", "labels": url}}),
        refused(read_job, INGEST, [f"source={url}"]),
        refused(read_job, INGEST, [f"format.labels={url}"]),
        refused(serving, {"models": ("m",), "storage": url}),
    ]
    monkeypatch.setenv("PLACE", url)
    found += [refused(read_job, {**INGEST, "source": "${PLACE}"})]
    monkeypatch.setenv("MEDRAY_STORAGE", url)
    found += [refused(open_storage)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    profile = RayCluster(kind="ray", forward=("MLFLOW_TRACKING_URI",))
    found += [refused(database), refused(forwarded, profile)]
    assert set(found) == {"secret-in-url"}
    for command in [
        ["run", url], ["run", "job.yaml", "--storage", url], ["ls", "--storage", url],
        ["run", "job.yaml", "--set", f"nope={url}"], ["run", "job.yaml", "--set", url],
        ["run", "job.yaml", "--cluster", url], ["status", url], ["show", url], ["show", "a", url],
        ["serve", "m", "--set", url], ["serve", "m", "--set", f"storage={url}"], ["serve", url],
        ["--debug", "run", url], ["submit", "job.yaml", "--cluster", url], ["gc", "--storage", url],
        ["storage", "check", url], ["cluster", "render", url], [url],
    ]:  # fmt: skip
        ended = CliRunner().invoke(main, command)
        assert ended.exit_code == 2, (command, ended.output)
        assert "Secret" not in ended.output, command
        assert "AKIA" not in ended.output, command


def test_variables_are_kept_and_values_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAW", str(tmp_path / "zq-raw"))
    monkeypatch.setenv("PART", "zq-part")
    monkeypatch.setenv("PIXELS", "123456")
    given = {
        **INGEST,
        "source": "${RAW}/${PART}",
        "format": {"name": "image", "max_pixels": "${PIXELS}", "labels": "${PART}"},
        "policy": {"error_budget": "${BUDGET:-0.25}"},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(given))
    source = read_job("job.yaml", ["units.samples=${PIXELS}"])
    assert source.documents == [{**given, "units": {"samples": "${PIXELS}"}}]
    step: Any = check_step(source, 0)
    assert step.source == str(tmp_path / "zq-raw/zq-part")
    assert (step.units.samples, step.policy.error_budget) == (123456, 0.25)
    kept = json.loads(dump(step, source.documents[0]))
    assert kept["source"] == given["source"]
    assert kept["format"] == given["format"]
    assert kept["units"] == {"samples": "${PIXELS}"}
    assert kept["output"] == "made"
    assert "zq-" not in json.dumps(kept)
    # Equal content is the same run, whoever names it.
    plain = {
        **given,
        "source": step.source,
        "format": {"name": "image", "max_pixels": "123456", "labels": "zq-part"},
        "policy": {"error_budget": "0.25"},
        "units": {"samples": "123456"},
    }
    assert job_id(read_job(plain)) == job_id(source)
    assert veiled(f"there is no {step.source}") == "there is no ${RAW}/${PART}"


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("raw", "/here/raw"),
        ("${REL}/x", "/here/${REL}/x"),
        ("${ABS}/x", "${ABS}/x"),
        ("${UNSET_ZQ:-raw}", "/here/${UNSET_ZQ:-raw}"),
        ("s3://bucket/${REL}", "s3://bucket/${REL}"),
        ("~/x", "/home/x"),
        ("${TILDE}/x", "${TILDE}/x"),
    ],
)
def test_folders_are_found_from_anywhere(
    source: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"REL": "a/b", "ABS": "/zq", "TILDE": "~/q", "HOME": "/home"}.items():
        monkeypatch.setenv(name, value)
    made = read_job({**INGEST, "source": source})
    assert made.documents[0]["source"].replace(str(tmp_path), "/here") == kept
    used = str(made.filled(0)["source"])
    assert used.startswith(("/", "s3://"))
    monkeypatch.chdir("/")
    assert made.filled(0)["source"] == used
    assert not {"~", "$"} & set(used)


def test_a_cluster_is_told_what_variables_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZQ_DATA", "/zq")
    monkeypatch.setenv("ZQ_API_KEY", "zqzqzq")
    source = read_job({**INGEST, "source": "${ZQ_DATA}/x", "format": {"name": "${ZQ_API_KEY}"}})
    with pytest.raises(SpecError) as caught:
        require_forwarded(source, RayCluster(kind="ray"))
    assert caught.value.code == "not-forwarded"
    assert "ZQ_DATA" in str(caught.value)
    profile = RayCluster(kind="ray", forward=("ZQ_DATA",))
    require_forwarded(source, profile)
    assert forwarded(profile) == {"ZQ_DATA": os.environ["ZQ_DATA"]}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_of_the_environment_holds_no_secret(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore and botocore take it by themselves, and quote it where it does not answer."""
    monkeypatch.setenv(name, "https://user:zqsecret@store.example")
    with pytest.raises(SpecError) as caught:
        open_storage("s3://bucket/prefix")
    assert caught.value.code == "secret-in-url"
    assert caught.value.about == name
    assert "zqsecret" not in str(caught.value)


KEPT: list[dict[str, Any]] = [
    {**INGEST, "output": "${ZQ_WORD}"},
    {"kind": "train", "data": "a", "output": "net", "task": {"name": "segmentation",
     "classes": ["none", "${ZQ_WORD}"]}, "model": {"name": "unet"}},
    {"kind": "train", "data": "a", "output": "net", "task": {"name": "segmentation"},
     "model": {"name": "unet", "norm": "${ZQ_WORD}"}},
    {"kind": "train", "data": "a", "output": "net", "task": {"name": "segmentation"},
     "model": {"name": "unet"}, "train": {"init_from": "${ZQ_WORD}"}},
    {"kind": "predict", "model": "${ZQ_WORD}", "data": "a", "output": "b"},
    {"kind": "predict", "model": "m", "data": "a", "select": {"x": ["${ZQ_WORD}"]}, "output": "b"},
]  # fmt: skip


@pytest.mark.parametrize("document", KEPT)
def test_what_a_variable_stands_for_becomes_no_name_and_no_description(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZQ_WORD", "zqsecret")
    with pytest.raises(SpecError) as caught:
        check_step(read_job(document), 0)
    assert caught.value.code == "kept-variable"
    assert "zqsecret" not in str(caught.value)
    assert "${ZQ_WORD}" in str(caught.value)


def test_short_values_are_masked_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZQ_SHORT", "q7")
    monkeypatch.setenv("ZQ_DIGIT", "7")
    monkeypatch.setenv("ZQ_LONG", "987654")
    read_job({**INGEST, "source": "${ZQ_SHORT}/${ZQ_DIGIT}/${ZQ_LONG}"})
    said = veiled("no /in/q7/x: q7, 'q7'. q7x aq7 q7-b 7.5 17; 7 of 7.")
    assert said == (
        "no /in/${ZQ_SHORT}/x: ${ZQ_SHORT}, '${ZQ_SHORT}'. q7x aq7 q7-b 7.5 17; "
        "${ZQ_DIGIT} of ${ZQ_DIGIT}."
    )
    record = logging.LogRecord("medray", logging.INFO, "", 0, "found", None, None)
    record.fields = {"rows": 7, "pixels": 987654, "path": "q7/x", "at": [Path("/q7"), None, True]}
    line = json.loads(JsonFormatter().format(record))
    assert line["rows"] == 7, "a number says nothing, and JSON stays JSON"
    assert line["pixels"] == "${ZQ_LONG}"
    assert line["path"] == "${ZQ_SHORT}/x"
    assert line["at"] == ["/${ZQ_SHORT}", None, True]
