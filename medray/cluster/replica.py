"""The deployment of a model: replicas that load it once and answer requests by it.

Bodies are decoded there. A replica also runs units of bulk jobs (medray.cluster.units).
"""

import asyncio
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, cast

from ray import serve

from medray.allocator import keep_freed_memory
from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, Worker, WorkerSpec
from medray.errors import FatalError
from medray.ids import digest
from medray.serving.answer import Question, answerer_of
from medray.serving.batching import Batcher
from medray.serving.replies import Reply, failure
from medray.spec.serving import Serving
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.modalities.loaded import LoadedModel

WORKERS = 4  # bulk jobs that a replica keeps open
SHARED = "models"
ONGOING = 2  # batches at a replica: one computes while the next one is decoded and waits


def deployment_of(model: str) -> str:
    """Name of a model's deployment."""
    return f"model-{model}"


def replica_of(options: Serving, model: str) -> serve.Deployment:
    """The deployment of a model, not bound yet."""
    return _deployment(Replica, deployment_of(model), options)


def shared_of(options: Serving) -> serve.Deployment:
    """The deployment of all models together, not bound yet."""
    return _deployment(Shared, SHARED, options)


def _deployment(kind: type, name: str, options: Serving) -> serve.Deployment:
    low, high = (
        options.replicas
        if isinstance(options.replicas, tuple)
        else (options.replicas, options.replicas)
    )
    ongoing = ONGOING * options.batch
    return cast("serve.Deployment", serve.deployment(kind)).options(
        name=name,
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


class Adopts(Protocol):
    """An operation that uses a model which is loaded already."""

    def adopt(self, model: "LoadedModel") -> None: ...


class Replica:
    """One model, loaded once; requests for short answers go through the network together."""

    def __init__(
        self,
        options: Serving,
        objects: Objects,
        reference: str,
        device: asyncio.Lock | None = None,
    ) -> None:
        threads = max(1, int(options.cpus))
        # Before any library with threads of its own is loaded: they read it once.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import torch

        from medray.modalities.loaded import load_model

        torch.set_num_threads(threads)
        keep_freed_memory()
        self._options, self._objects = options, objects
        self._workers: OrderedDict[str, Worker] = OrderedDict()
        self._model = load_model(objects, reference)
        self._reference = self._model.package.reference
        guide = options.guides.get(self._model.package.name)
        coarse = load_model(objects, guide) if guide else None
        self._answerer = answerer_of(self._model, options, coarse)
        self._device = device or asyncio.Lock()
        self._together = Batcher(self._compute, options.batch, options.batch_wait_s)

    async def predict(self, body: bytes, asked: dict[str, str]) -> Reply:
        """Answer one request; every failure is a reply."""
        return await self._reply(await asyncio.to_thread(self._read, body, asked))

    async def predict_many(self, requests: list[tuple[bytes, dict[str, str]]]) -> list[Reply]:
        """Answer requests that have waited for each other, each as if it were alone."""
        read = await asyncio.to_thread(lambda: [self._read(*one) for one in requests])
        return await asyncio.gather(*(self._reply(one, gathered=True) for one in read))

    def _read(self, body: bytes, asked: dict[str, str]) -> Question | Reply:
        try:
            return self._answerer.read(body, asked["media"], asked["accept"], asked["outputs"])
        except Exception as error:  # noqa: BLE001 - errors of ours have no class at the other end
            return failure(error)

    async def _reply(self, question: Question | Reply, *, gathered: bool = False) -> Reply:
        if isinstance(question, Reply):
            return question
        answerer = self._answerer
        try:
            if question.outputs or not answerer.short:
                async with self._device:
                    made = await asyncio.to_thread(
                        answerer.compute, question.samples, question.outputs
                    )
            else:
                together = (self._together(one, gathered=gathered) for one in question.samples)
                made = await asyncio.gather(*together)
                if len(made) == 1:  # a line of JSON: less than the way to a thread and back
                    return answerer.write(question, made)
            return await asyncio.to_thread(answerer.write, question, made)
        except Exception as error:  # noqa: BLE001 - errors of ours have no class at the other end
            return failure(error)

    async def _compute(self, samples: list[Sample]) -> list[Sample]:
        return await asyncio.to_thread(self._answerer.compute, samples)

    async def reference(self) -> str:
        """Of the model that is loaded, name@version."""
        return self._reference

    async def short(self) -> bool:
        """Whether answers are; masks may be as large as the images."""
        return self._answerer.short

    async def unit(self, spec: WorkerSpec, unit: Unit) -> Receipt:
        """Run a unit of a bulk job with the network that is loaded already, and commit it."""
        return await asyncio.to_thread(self._worker(spec).run, unit)

    def _worker(self, spec: WorkerSpec) -> Worker:
        if spec.parameters["model"] != self._reference:
            raise FatalError(
                f"the replica serves {self._reference}",
                code="wrong-model",
                about=spec.parameters["model"],
            )
        key = digest([spec.dataset, spec.session, spec.parameters])
        worker = self._workers.get(key)
        if worker is None:
            worker = Worker(spec)
            cast("Adopts", worker.operation).adopt(self._model)
            self._workers[key] = worker
            if len(self._workers) > WORKERS:
                self._workers.popitem(last=False)
        return worker


class Shared:
    """Several models in turn: those asked for last are loaded. For many that are seldom asked for.

    Ray sends a request to a replica that holds its model, where there is one.
    """

    def __init__(self, options: Serving, objects: Objects) -> None:
        device = asyncio.Lock()  # one for all: dense requests take it in turn

        async def load(reference: str) -> Replica:
            return await asyncio.to_thread(Replica, options, objects, reference, device)

        self._load = serve.multiplexed(max_num_models_per_replica=options.together)(load)

    async def predict(self, body: bytes, asked: dict[str, str]) -> Reply:
        """See Replica; the model is that which the handle names."""
        try:
            replica: Replica = await self._load(serve.get_multiplexed_model_id())
        except Exception as error:  # noqa: BLE001 - errors of ours have no class at the other end
            return failure(error)
        return await replica.predict(body, asked)
