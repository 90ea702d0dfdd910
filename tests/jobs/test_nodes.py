"""What nodes say of themselves is judged: each thing that can be wrong is found, and named."""

from dataclasses import replace

import pytest

from medray.cluster.examine import Facts
from medray.jobs.provision.nodes import judge

GIB = 2**30
FIT = Facts(
    node="a",
    versions={"python": "3.11.9", "ray": "2.60.0", "torch": "2.13.0"},
    auth="token",
    token="1f",
    token_open=False,
    skew_s=0.2,
    doubt_s=0.1,
    shm_bytes=8 * GIB,
    shm_free_bytes=6 * GIB,
    store_bytes=4 * GIB,
    gpus=1,
    cuda=True,
    driver=True,
    storage="",
)


def wrong(*others: Facts) -> dict[str, str]:
    return {name: detail for name, ok, detail in judge([FIT, *others]) if not ok}


def test_nodes_that_agree_are_fit() -> None:
    assert wrong(replace(FIT, node="b")) == {}
    assert [ok for _, ok, _ in judge([])] == [True] * 6


@pytest.mark.parametrize(
    ("change", "check", "detail"),
    [
        (
            {"versions": {**FIT.versions, "torch": "2.12.1"}},
            "versions",
            "torch 2.13.0 on a, 2.12.1 on b",
        ),
        ({"auth": ""}, "tokens", "b is not asked for a token"),
        ({"token_open": True}, "tokens", "others may read the token on b"),
        ({"token": ""}, "tokens", "b has no token file"),
        ({"token": "2e"}, "tokens", "the files of different nodes hold different tokens"),
        ({"skew_s": -3.04}, "clocks", "b is -3.0 s off the head"),
        (
            {"shm_bytes": GIB, "shm_free_bytes": GIB},
            "shared memory",
            "b has 1024 MiB for Ray's 4096 MiB, which then goes through the disk",
        ),
        ({"shm_free_bytes": 64 * 2**20}, "shared memory", "b has 64 MiB left"),
        ({"driver": False}, "gpus", "b gives out 1 GPU, and has no driver for any"),
        ({"cuda": False}, "gpus", "b gives out 1 GPU, and torch there is without CUDA"),
        ({"storage": "no-such-bucket"}, "storage there", "b: no-such-bucket"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], check: str, detail: str) -> None:
    other = replace(FIT, node="b", **change)  # type: ignore[arg-type]
    assert wrong(other) == {check: detail}


def test_a_slow_answer_is_no_skew_and_a_node_without_gpus_needs_no_driver() -> None:
    assert wrong(replace(FIT, node="b", skew_s=4, doubt_s=2.5)) == {}
    assert wrong(replace(FIT, node="b", gpus=0, driver=False, cuda=False)) == {}
