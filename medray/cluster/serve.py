"""Models behind an address, on Ray Serve: one deployment a model, and a front that asks them.

`medray serve` is its own front: HTTP ends in its process, one call away from the replicas. Where
Ray Serve is deployed by a configuration file (KubeRay), Ray's proxy takes requests and the front is
a deployment as well.
"""

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from medray.cluster.replica import ONGOING, SHARED, deployment_of, replica_of, shared_of
from medray.errors import RetryableError
from medray.modalities.media import ARROW
from medray.serving.batching import Batcher
from medray.serving.bulk import Bulk
from medray.serving.http import make_app
from medray.serving.replies import Reply, refuse
from medray.spec.serving import Serving
from medray.storage.store.objects import Objects

APPLICATION = "medray"
QUIET: dict[str, Any] = {"enable_access_log": False, "log_level": "ERROR"}
TRIES = 3  # of a request whose replica died: another one answers it
# Ray's gRPC server takes messages of 4 MiB; what else there is of a call takes 2 KiB.
DIRECT_BYTES = 4 * 2**20 - 64 * 2**10
COUNT_S = 2.0  # between looks at how many replicas run
LOST = (
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.WorkerCrashedError,
    ReplicaUnavailableError,
    DeploymentUnavailableError,
)


async def _answer(response: Any) -> Any:
    """What a replica says; nobody is there to hear it once this is cancelled."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


class Front:
    """Hands requests to the replicas of the model that is meant; see `medray.serving.http.Backend`.

    Args:
        options: of the endpoint.
        models: as `/v1/models` shows them.
        replicas: by the name of the model.
        short: names of the models whose answers are short: they are asked by gRPC, past Ray's actor
            calls and its object store.
    """

    def __init__(
        self,
        options: Serving,
        models: Sequence[dict[str, Any]],
        replicas: dict[str, DeploymentHandle[Any]],
        short: Sequence[str] = (),
    ) -> None:
        self._models = list(models)
        self._replicas = replicas
        if options.together:
            self._replicas = {
                model["name"]: replicas[model["name"]].options(
                    multiplexed_model_id=model["reference"]
                )
                for model in models
            }
        # A call takes 1.6 ms of CPU and not 3.6, but question and answer have 4 MiB at most.
        self._direct = {name: replicas[name].options(_by_reference=False) for name in short}
        low, most = (
            options.replicas
            if isinstance(options.replicas, tuple)
            else (options.replicas, options.replicas)
        )
        self._options, self._running = options, dict.fromkeys(replicas, low)
        # Requests that wait go in one call: to Ray and to a replica it costs what one of them does.
        # Not where replicas come and go: Ray counts calls to tell how many are needed.
        self._gathered = {
            name: Batcher(
                functools.partial(self._ask_together, name),
                options.batch,
                options.batch_wait_s,
                functools.partial(self._running.__getitem__, name),
                ONGOING,
            )
            for name in (short if low == most else ())
        }
        self._closed = threading.Event()
        if most > low:
            threading.Thread(target=self._count, name="replicas", daemon=True).start()
        self._bulk = Bulk(
            options.storage,
            {model["name"]: model["reference"] for model in models},
            most,
            ray.get_runtime_context().gcs_address,
        )

    def models(self) -> list[dict[str, Any]]:
        """See Backend."""
        return self._models

    def places(self, model: str) -> int:
        """See Backend: two batches a replica, one of which computes while the other is decoded."""
        return max(1, self._running[model]) * ONGOING * self._options.batch

    def _count(self) -> None:
        """Look at how many replicas run, where they grow in number."""
        while not self._closed.wait(COUNT_S):
            with contextlib.suppress(RayServeException, ray.exceptions.RayError, KeyError):
                applications = serve.status().applications
                for name in self._running:
                    deployment = SHARED if self._options.together else deployment_of(name)
                    at = APPLICATION if APPLICATION in applications else deployment
                    states = applications[at].deployments[deployment].replica_states
                    self._running[name] = sum(
                        n for state, n in states.items() if state == "RUNNING"
                    )

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        """See Backend. A replica that dies takes no request with it: another one answers."""
        most = DIRECT_BYTES // self._options.batch
        if model not in self._gathered or asked["media"] == ARROW or len(body) > most:
            return await self._ask(model, body, asked)
        return await self._gathered[model]((body, asked))

    async def _ask_together(
        self, model: str, requests: list[tuple[bytes, dict[str, str]]]
    ) -> list[Reply]:
        try:
            response = self._direct[model].predict_many.remote(requests)
            replies: list[Reply] = await _answer(response)
        except Exception:  # noqa: BLE001 - a replica died of one, or their answers are too long together
            return await asyncio.gather(*(self._ask(model, *one) for one in requests))
        return replies

    async def _ask(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        handle = self._replicas[model]
        if asked["media"] != ARROW and len(body) <= DIRECT_BYTES:
            handle = self._direct.get(model, handle)
        for left in reversed(range(TRIES)):
            try:
                reply: Reply = await _answer(handle.predict.remote(body, asked))
            except BackPressureError:
                return refuse(503, "busy", "too many requests wait for the model")
            except LOST:
                if not left:
                    return refuse(503, "replica-lost", "the replicas that had it died")
                await asyncio.sleep(0.1)
            else:
                return reply
        raise AssertionError

    async def start_bulk(self, asked: dict[str, Any]) -> dict[str, Any]:
        """See Backend."""
        return await asyncio.to_thread(self._bulk.start, asked)

    def bulk(self, job: str) -> dict[str, Any]:
        """See Backend."""
        return self._bulk.look(job)

    def close(self) -> None:
        """Ask bulk jobs that are under way to stop."""
        self._closed.set()
        self._bulk.close()


class Ingress(Front):
    """The front as a deployment, behind Ray's proxy."""

    def __init__(
        self,
        options: Serving,
        models: list[dict[str, Any]],
        hashes: tuple[str, ...],
        replicas: dict[str, DeploymentHandle[Any]],
    ) -> None:
        # None is asked by gRPC: where HTTP came through Ray's proxy, Ray would not decode answers.
        super().__init__(options, models, replicas)
        self._hashes = hashes

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self, self._options, self._hashes)

    def __del__(self) -> None:
        self.close()


def application(
    options: Serving,
    objects: Objects,
    models: Sequence[dict[str, Any]],
    hashes: tuple[str, ...],
) -> serve.Application:
    """The application for a Ray Serve with a proxy of its own.

    Args:
        options: of the endpoint.
        objects: the storage root.
        models: name, version and reference of each, as `/v1/models` shows them.
        hashes: of the tokens.
    """
    if options.together:
        shared = shared_of(options).bind(options, objects)
        replicas = {model["name"]: shared for model in models}
    else:
        replicas = {
            model["name"]: replica_of(options, model["name"]).bind(
                options, objects, model["reference"]
            )
            for model in models
        }
    wrapped = cast("serve.Deployment", serve.deployment(serve.ingress()(Ingress)))
    ingress = wrapped.options(
        name="ingress",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=max(100, 2 * options.queue),
        max_queued_requests=options.queue,
        backpressure_config={"status_code": 503, "retry_after_s": 1},
        graceful_shutdown_timeout_s=options.timeout_s,
    )
    return ingress.bind(options, list(models), hashes, replicas)


@contextlib.contextmanager
def deployed(
    options: Serving, objects: Objects, models: Sequence[dict[str, Any]]
) -> Iterator[Front]:
    """Replicas of each model on the Ray that this process is connected to, gone on leaving.

    Args:
        options: of the endpoint.
        objects: the storage root.
        models: see `application`.

    Yields:
        The front, for `medray.serving.http.make_app`.

    Raises:
        RetryableError: they did not come up (code "serve-failed").
    """
    # What goes wrong is raised here; Serve would tell all it does besides.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.start(proxy_location="Disabled", logging_config=QUIET)
        handles, short = _start(options, objects, models)
    except (RuntimeError, RayServeException, ray.exceptions.RayError) as error:
        serve.shutdown()  # type: ignore[no-untyped-call]
        raise RetryableError(
            f"the replicas did not come up ({type(error).__name__})",
            code="serve-failed",
            about=", ".join(model["reference"] for model in models),
            hint="look at the replicas' logs and at free memory",
        ) from error
    front = Front(options, models, handles, short)
    try:
        yield front
    finally:
        front.close()
        serve.shutdown()  # type: ignore[no-untyped-call]


def _start(
    options: Serving, objects: Objects, models: Sequence[dict[str, Any]]
) -> tuple[dict[str, DeploymentHandle[Any]], list[str]]:
    """Handles by model, and the models whose answers are short."""
    if options.together:
        handle = _run(shared_of(options).bind(options, objects), SHARED)
        # Which are short, a model that is not loaded does not say.
        return {model["name"]: handle for model in models}, []
    handles = {
        name: _run(replica_of(options, name).bind(options, objects, reference), deployment_of(name))
        for name, reference in ((model["name"], model["reference"]) for model in models)
    }
    return handles, [name for name, one in handles.items() if one.short.remote().result()]


def _run(application: serve.Application, name: str) -> DeploymentHandle[Any]:
    return serve.run(application, name=name, route_prefix=None, logging_config=QUIET)
