"""A Ray to run on: one of our own, private to this machine and this process, or one that is there.

Whoever reaches a Ray can run code as its owner, and Ray listens on all interfaces. Ours therefore
has no dashboard and asks for a token that we make ourselves, readable by the owner alone (Ray's own
token file is readable by everybody).
"""

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from medray.cluster.folder import keep_logs, last_words, make_folder, remove_folder
from medray.errors import MedrayError, RetryableError, SpecError
from medray.veil import veiled

OBJECT_STORE_BYTES = 150_000_000  # receipts are all that travels
_SAID = 300  # characters of an error of Ray's
# What of a run's errors may be Ray's fault.
_RAYS = frozenset({"ray-did-not-start", "pool-failed", "serve-failed"})


@contextlib.contextmanager
def start_local(
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    object_store_bytes: int = OBJECT_STORE_BYTES,
) -> Iterator[None]:
    """A Ray of our own on this machine, gone with all its processes and files on leaving.

    Should this process be killed, the kernel ends Ray with it, and the workers within seconds; two
    agents of Ray's notice after a minute. The files it left are swept by the next start.

    Args:
        num_cpus: that Ray may hand out; None: those this process may use.
        num_gpus: likewise; None: those that Ray finds.
        object_store_bytes: shared memory for what travels.

    Raises:
        RetryableError: Ray did not start (code "ray-did-not-start"). Of this, and of failures of
            pools and replicas, Ray's logs are kept, and the error says where.
        SpecError: no folder has a path short enough (code "no-short-folder").
    """
    from ray._raylet import Config  # type: ignore[attr-defined]

    folder = make_folder()
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(_token())
    settings = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ray Data trips over a warning of Ray's for each actor; the logs go with the folder anyway.
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        # Ray Train looks after its ranks every two seconds, so that a training ends up to two late;
        # and on one machine no node is taken away, for which it would keep a process.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        # Ray Serve looks ten times a second at what every node has free: a tenth of a core.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "MALLOC_ARENA_MAX": "1",  # see medray.allocator
    }
    cpus = len(os.sched_getaffinity(0)) if num_cpus is None else num_cpus
    try:
        with _environment(settings):
            Config.initialize("")  # Ray read RAY_AUTH_MODE when it was imported
            with _unattended():
                _init(
                    "ray-did-not-start",
                    str(folder),
                    "look at free memory",
                    address="local",
                    num_cpus=cpus,
                    num_gpus=num_gpus,
                    object_store_memory=object_store_bytes,
                    include_dashboard=False,
                    _temp_dir=str(folder / "r"),  # Ray opens its folder to everybody
                )
            yield
    except MedrayError as error:
        if error.code in _RAYS:
            if words := last_words(folder, _token()):
                error.message += f"; {words}"
            if logs := keep_logs(folder):
                error.hint += f"; Ray's logs are in {logs}"
        raise
    finally:
        _leave()
        remove_folder(folder)


@contextlib.contextmanager
def join(address: str) -> Iterator[None]:
    """A Ray that is there already: left running on leaving.

    Args:
        address: as `ray.init` takes it, "auto" within a Ray job. Token and TLS come from the
            environment (RAY_AUTH_MODE, RAY_AUTH_TOKEN_PATH, RAY_USE_TLS).

    Raises:
        RetryableError: it cannot be reached (code "ray-unreachable").
    """

    with _environment({}):
        try:
            _init(
                "ray-unreachable",
                address,
                "check the address, RAY_AUTH_MODE and the token",
                address=address,
            )
            yield
        finally:
            _leave()


def require(workers: int, num_cpus: float, num_gpus: float = 0) -> None:
    """Refuse a pool that this Ray can never start: it would wait for ever.

    Args:
        workers: the fewest that the pool needs.
        num_cpus: of each.
        num_gpus: of each.

    Raises:
        SpecError: there are not as many CPUs or GPUs (code "pool-too-large").
    """
    import ray

    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    for resource, each in (("CPU", num_cpus), ("GPU", num_gpus)):
        if workers * each > have.get(resource, 0) + 1e-6:
            raise SpecError(
                f"{workers} workers of {each:g} {resource} each need more than the "
                f"{have.get(resource, 0):g} that the cluster has",
                code="pool-too-large",
                about=f"workers: {workers}",
                hint="fewer workers, or less for each",
            )


def _leave() -> None:
    import ray

    ray.shutdown()
    # Serve keeps the address of its controller, and takes the next Ray's first job for this one's.
    if serving := sys.modules.get("ray.serve.context"):
        serving._disconnect()  # noqa: SLF001


@cache
def _token() -> str:
    # One a process: Ray reads the token once and keeps it, also for a second start.
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    settings = {"RAY_USAGE_STATS_ENABLED": "0", **settings}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _init(code: str, about: str, hint: str, **options: Any) -> None:
    """`ray.init`, with medray's kind of errors and without its hands on our signals."""
    import ray

    main = threading.current_thread() is threading.main_thread()
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # A call that comes late, when Ray is shut down, would start a Ray that nobody asked for.
    ray._private.auto_init_hook.enable_auto_connect = False  # noqa: SLF001
    # Ray would print deaths of workers, which the ledger deals with, among a run's own output.
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001
    try:
        with _hushed():
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as error:  # Ray raises plain Exception where its processes did not come up
        said = " ".join(veiled(str(error).replace(_token(), "***")).split())[:_SAID]
        raise RetryableError(
            f"Ray did not answer ({type(error).__name__}: {said})",
            code=code,
            about=about,
            hint=hint,
        ) from error
    finally:
        if main:
            # Ray makes SIGTERM end the process at once; a run is to drain instead.
            for number, handler in kept.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _unattended() -> Iterator[None]:
    """Ray leaves out what nobody looks at, three processes: the server of a dashboard that there is
    not, what carries workers' output to a driver that does not print it, and what would bring
    nodes. Its start waits for the first: half of its time."""
    from ray._private.node import Node

    names = ("start_api_server", "start_log_monitor", "start_monitor")
    kept = {name: getattr(Node, name) for name in names}
    for name in names:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Nothing on standard error: Ray's C++ says there that it was told to say nothing."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
