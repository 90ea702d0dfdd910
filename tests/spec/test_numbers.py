"""No field of a job, a profile or a plugin takes a number that is none, or none sensible."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from medray.errors import SpecError
from medray.formats import FORMATS
from medray.models import MODELS
from medray.spec.base import Plugin, Settings
from medray.spec.kinds import KINDS
from medray.spec.load import check_step, cluster_profile, read_job, storage_profile
from medray.steps.transform.transforms import TRANSFORMS
from medray.tasks import TASKS

BAD = [float("inf"), float("-inf"), float("nan"), 1e300, -1e300, 10**300]


def models() -> list[type[Settings]]:
    """Every model that stands behind a file: those of the spec, and all plugins' options."""
    for registry in (FORMATS, TASKS, MODELS, TRANSFORMS, KINDS):
        for name in registry.names():
            registry.get(name)

    def below(kind: type[Settings]) -> Iterator[type[Settings]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    return sorted(
        {one for one in below(Settings) if one.__module__.startswith("medray.")},
        key=lambda one: (one.__module__, one.__qualname__),
    )


def with_number(kind: Any, number: float) -> Iterator[Any]:
    """Values of the form of an annotation with a number in them, where it can hold one."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in (int, float, Any):
        yield number
    elif origin is Annotated:
        yield from with_number(inner[0], number)
    elif origin in (Union, UnionType):
        for one in inner:
            yield from with_number(one, number)
    elif origin in (list, tuple, frozenset):
        members = [list(with_number(one, number)) for one in inner if one is not Ellipsis]
        if any(members):
            yield [member[0] if member else "x" for member in members]
    elif origin is dict:
        (key, *_) = get_args(inner[0]) if get_origin(inner[0]) is Literal else ("key",)
        for value in with_number(inner[1], number):
            yield {key: value}
    elif origin is None and isinstance(kind, type) and kind is not NoneType:
        assert issubclass(kind, str | bool | BaseModel) or kind.__name__ == "datetime", kind


NUMBERS = [
    pytest.param(kind, name, id=f"{kind.__module__}.{kind.__qualname__}.{name}")
    for kind in models()
    for name, field in kind.model_fields.items()
    if list(with_number(field.annotation, 1))
]


def test_the_walk_finds_fields_of_all_kinds() -> None:
    found = {parameters.id for parameters in NUMBERS}
    assert len(found) > 120
    assert {
        "medray.spec.step.Policy.unit_timeout_s",
        "medray.spec.profiles.Pool.workers",
        "medray.spec.profiles.RayCluster.defaults",
        "medray.spec.storage.Storage.retry_s",
        "medray.steps.train.spec.TrainSpec.plan",
        "medray.steps.predict.spec.PredictSpec.select",
    } <= found


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
@pytest.mark.parametrize("number", BAD, ids=str)
def test_no_field_takes_it(kind: type[Settings], name: str, number: float) -> None:
    for value in with_number(kind.model_fields[name].annotation, number):
        with pytest.raises(ValidationError) as caught:
            kind.model_validate({name: value})
        assert name in {error["loc"][0] for error in caught.value.errors()}


def test_every_plugin_has_options_that_are_settings() -> None:
    for registry in (FORMATS, TASKS, MODELS, TRANSFORMS):
        for name in registry.names():
            assert issubclass(registry.get(name).Options, Settings), name  # type: ignore[attr-defined]
    assert not issubclass(Plugin, Settings), "what a job says of a plugin is checked by its options"


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1.0e+300", "1" + "0" * 300])
@pytest.mark.parametrize(
    "field", ["policy.unit_timeout_s", "policy.max_attempts", "units.samples", "split.train"]
)
def test_a_job_file_and_a_setting_name_the_field(tmp_path: Path, number: str, field: str) -> None:
    plain = "kind: ingest\nformat: {name: nifti}\nsource: raw\noutput: x\n"
    (tmp_path / "plain.yaml").write_text(plain)
    group, _, name = field.partition(".")
    (tmp_path / "job.yaml").write_text(f"{plain}{group}: {{{name}: {number}}}\n")
    for source in (
        read_job(tmp_path / "job.yaml"),
        read_job(tmp_path / "plain.yaml", [f"{field}={number}"]),
    ):
        with pytest.raises(SpecError) as caught:
            check_step(source, 0)
        assert caught.value.code == "bad-field"
        assert caught.value.about.endswith(f", {field}")


def test_profiles_name_the_field(tmp_path: Path) -> None:
    for text, read, field in (
        ("kind: local\ncpus_per_worker: .inf\n", cluster_profile, "cpus_per_worker"),
        ("kind: inline\ndefaults: {ingest: {policy: {x: .nan}}}\n", cluster_profile, "defaults"),
        ("url: s3://b/p\nretry_s: 1.0e+300\n", storage_profile, "retry_s"),
    ):
        (tmp_path / "profile.yaml").write_text(text)
        with pytest.raises(SpecError) as caught:
            read(str(tmp_path / "profile.yaml"))
        assert caught.value.about.endswith(f", {field}"), caught.value


def test_large_numbers_that_make_sense_are_taken() -> None:
    from medray.spec.serving import Serving
    from medray.spec.step import Policy

    assert Policy(unit_timeout_s=86400 * 365.0).unit_timeout_s == 31536000
    assert Serving(models=("net",), held_bytes=2**42).held_bytes == 2**42
    with pytest.raises(ValidationError, match="up to 1,000,000,000"):
        Policy(unit_timeout_s=1e12)
