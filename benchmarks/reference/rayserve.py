"""A Ray Serve application as its documentation has it: a deployment, `serve.batch`, Ray's proxy.

    python rayserve.py ROOT PORT    prints "ready", ends with its standard input

What is the same as in medray: the decoder, the network, batches of 8 after 5 ms, one thread.
"""

import sys

from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from medray.cluster.session import start_local


@serve.deployment(max_ongoing_requests=16, ray_actor_options={"num_cpus": 1})
class Model:
    def __init__(self, root: str, name: str) -> None:
        import torch

        from medray.modalities.loaded import load_model
        from medray.serving.answer import answerer_of
        from medray.spec.serving import Serving
        from medray.storage.store.objects import Objects

        torch.set_num_threads(1)
        self.answerer = answerer_of(load_model(Objects(root), name), Serving(models=(name,)))

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def together(self, samples: list) -> list:
        return self.answerer.compute(samples)

    async def __call__(self, request: Request) -> Response:
        question = self.answerer.read(await request.body(), request.headers["content-type"])
        reply = self.answerer.write(question, [await self.together(question.samples[0])])
        return Response(reply.body, reply.status, reply.headers, reply.media)


if __name__ == "__main__":
    root, port = sys.argv[1], int(sys.argv[2])
    quiet = {"enable_access_log": False, "log_level": "ERROR"}
    with start_local(num_cpus=2):
        serve.start(http_options={"port": port}, logging_config=quiet)
        serve.run(Model.bind(root, "m"), logging_config=quiet)
        print("ready", flush=True)
        sys.stdin.read()
        serve.shutdown()
