"""Models behind an address: a Ray Serve application of one deployment a model, and an ingress.

Bodies travel from proxy to ingress to replica, and are decoded there; weights are loaded once a
replica. A replica also runs units of bulk jobs (medray.cluster.units).
"""

import asyncio
import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

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

from medray.engine.allocator import keep_freed_memory
from medray.engine.operation import Unit
from medray.engine.worker import Receipt, Worker, WorkerSpec
from medray.errors import FatalError, RetryableError
from medray.ids import digest
from medray.serving.answer import Answerer, Reply, failure, refuse
from medray.serving.bulk import Bulk
from medray.serving.decode import Upload
from medray.serving.http import make_app
from medray.spec.serving import Serving
from medray.storage.objects import Objects
from medray.storage.samples import Sample

if TYPE_CHECKING:
    from medray.engine.predict import Predict

APPLICATION = "medray"
WORKERS = 4  # bulk jobs that a replica keeps open
TRIES = 3  # of a request whose replica died: another one answers it
LOST = (
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.WorkerCrashedError,
    ReplicaUnavailableError,
    DeploymentUnavailableError,
)


def application(
    options: Serving,
    objects: Objects,
    models: Sequence[dict[str, Any]],
    hashes: tuple[str, ...],
) -> serve.Application:
    """The application, ready for `serve.run`.

    Args:
        options: of the endpoint.
        objects: the storage root.
        models: name, version and reference of each, as `/v1/models` shows them.
        hashes: of the tokens.
    """
    replicas = {
        model["name"]: replica_of(options, model["name"]).bind(options, objects, model["reference"])
        for model in models
    }
    wrapped = cast("serve.Deployment", serve.deployment(serve.ingress()(Ingress)))
    ingress = wrapped.options(
        name="ingress",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=max(100, 2 * options.queue),
        max_queued_requests=options.queue,
        backpressure_config={"status_code": 429, "retry_after_s": 1},
        graceful_shutdown_timeout_s=options.timeout_s,
    )
    return ingress.bind(options, list(models), hashes, replicas)


def deployment_of(model: str) -> str:
    """Name of a model's deployment."""
    return f"model-{model}"


def replica_of(options: Serving, model: str) -> serve.Deployment:
    """The deployment of a model, not bound yet."""
    low, high = (
        options.replicas
        if isinstance(options.replicas, tuple)
        else (options.replicas, options.replicas)
    )
    # Two batches a replica: one computes while the next one is decoded and waits.
    ongoing = 2 * options.batch
    return cast("serve.Deployment", serve.deployment(Replica)).options(
        name=deployment_of(model),
        **(
            {"num_replicas": low}
            if low == high
            else {
                "autoscaling_config": {
                    "min_replicas": low,
                    "max_replicas": high,
                    "target_ongoing_requests": options.batch,
                }
            }
        ),
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        max_ongoing_requests=ongoing,
        max_queued_requests=options.queue,
        health_check_period_s=2,
        health_check_timeout_s=max(30, options.timeout_s),
        graceful_shutdown_timeout_s=options.timeout_s,
    )


class Ingress:
    """Takes requests in, and hands them to the replicas of the model that is meant."""

    def __init__(
        self,
        options: Serving,
        models: list[dict[str, Any]],
        hashes: tuple[str, ...],
        replicas: dict[str, DeploymentHandle[Any]],
    ) -> None:
        self._options, self._models, self._hashes = options, models, hashes
        self._replicas = replicas
        most = options.replicas[1] if isinstance(options.replicas, tuple) else options.replicas
        self._bulk = Bulk(
            options.storage,
            {model["name"]: model["reference"] for model in models},
            most,
            ray.get_runtime_context().gcs_address,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(self, self._options, self._hashes)

    def models(self) -> list[dict[str, Any]]:
        """See Backend."""
        return self._models

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        """See Backend. A replica that dies takes no request with it: another one answers."""
        for left in reversed(range(TRIES)):
            try:
                reply: Reply = await self._replicas[model].predict.remote(body, asked)
            except BackPressureError:
                return refuse(429, "busy", "too many requests wait for the model")
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

    def __del__(self) -> None:
        self._bulk.close()


class Replica:
    """One model, loaded once; requests for whole images go through the network together."""

    def __init__(self, options: Serving, objects: Objects, reference: str) -> None:
        threads = max(1, int(options.cpus))
        # Before any library with threads of its own is loaded: they read it once.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch

        from medray.engine.predict import ImagePredictor
        from medray.engine.trained import load_trained

        torch.set_num_threads(threads)
        keep_freed_memory()
        self._options, self._objects = options, objects
        self._workers: OrderedDict[str, Worker] = OrderedDict()
        self._trained = load_trained(objects, reference)
        wanted = options.model_dump(include={"overlap", "tta", "precision", "batch"})
        self._answerer = Answerer(ImagePredictor(self._trained, {**wanted, "outputs": "labels"}))
        self._device = asyncio.Lock()
        together: Any = self._together  # its type hides what serve.batch adds
        together.set_max_batch_size(options.batch)
        together.set_batch_wait_timeout_s(options.batch_wait_s)

    async def predict(self, body: bytes, asked: dict[str, str]) -> Reply:
        """Answer one request; every failure is a reply."""
        upload = Upload(body, asked["media"], self._options.image_bytes)
        answerer = self._answerer
        try:
            question = await asyncio.to_thread(
                answerer.read, upload, asked["accept"], asked["outputs"]
            )
            if answerer.dense:
                async with self._device:
                    made = await asyncio.to_thread(
                        answerer.compute, question.samples, question.outputs
                    )
            else:
                made = await asyncio.gather(*(self._together(one) for one in question.samples))
            return await asyncio.to_thread(answerer.write, question, made)
        except Exception as error:  # noqa: BLE001 - errors of ours have no class at the other end
            return failure(error)

    async def reference(self) -> str:
        """Of the model that is loaded, name@version."""
        return self._trained.reference

    async def unit(self, spec: WorkerSpec, unit: Unit) -> Receipt:
        """Run a unit of a bulk job with the network that is loaded already, and commit it."""
        return await asyncio.to_thread(self._worker(spec).run, unit)

    def _worker(self, spec: WorkerSpec) -> Worker:
        if spec.parameters["model"] != self._trained.reference:
            raise FatalError(
                f"the replica serves {self._trained.reference}",
                code="wrong-model",
                about=spec.parameters["model"],
            )
        key = digest([spec.dataset, spec.session, spec.parameters])
        worker = self._workers.get(key)
        if worker is None:
            worker = Worker(spec)
            cast("Predict", worker.operation).adopt(self._trained)
            self._workers[key] = worker
            if len(self._workers) > WORKERS:
                self._workers.popitem(last=False)
        return worker

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def _together(self, samples: list[Sample]) -> list[Sample]:
        async with self._device:
            return await asyncio.to_thread(self._answerer.compute, samples)


@contextlib.contextmanager
def deployed(
    app: serve.Application,
    *,
    host: str,
    port: int,
    tls: tuple[str, str] | None = None,
) -> Iterator[None]:
    """Run an application on the Ray that this process is connected to; gone on leaving.

    Args:
        app: of `application`.
        host: address to bind to.
        port: to listen on.
        tls: files of certificate and key, on the head.

    Raises:
        RetryableError: it did not come up (code "serve-failed").
    """
    http = {"host": host, "port": port}
    if tls:
        http |= {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
    # What goes wrong is raised here; Serve would tell all it does besides.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    quiet = {"enable_access_log": False, "log_level": "ERROR"}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=quiet)
        serve.run(app, name=APPLICATION, route_prefix="/", logging_config=quiet)
    except (RuntimeError, RayServeException, ray.exceptions.RayError) as error:
        serve.shutdown()  # type: ignore[no-untyped-call]
        raise RetryableError(
            f"the application did not come up ({type(error).__name__})",
            code="serve-failed",
            about=f"{host}:{port}",
            hint="look at the replicas' logs, free memory, and who else listens there",
        ) from error
    try:
        yield
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
