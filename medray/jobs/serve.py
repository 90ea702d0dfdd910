"""Serve models: who may reach them is checked first; then the application starts, on Ray."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from medray.errors import SpecError
from medray.extras import need
from medray.jobs.execute import require_job
from medray.jobs.storage_by_name import open_storage
from medray.modalities import MODALITIES, plans_of
from medray.modalities.media import BINARY, JSON
from medray.serving.answer import predict_options
from medray.serving.guides import pinned, require_guide
from medray.serving.tokens import add_token, read_tokens
from medray.spec.check import check
from medray.spec.load import cluster_profile
from medray.spec.profiles import LOOPBACK, Inline, RayCluster
from medray.spec.serving import Serving
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects

SERVING: TypeAdapter[Serving] = TypeAdapter(Serving)
PORT = 8000


def build(args: dict[str, Any]) -> object:
    """The application, as Ray Serve's configuration files and KubeRay ask for it.

    Args:
        args: fields of `medray.spec.serving.Serving`.

    Raises:
        SpecError: a field is wrong ("bad-field"), there is no such model, or no token.
    """
    from medray.cluster.serve import application

    options = check(SERVING, args, lambda *parts: ".".join(map(str, ("args", *parts))))
    objects = open_storage(options.storage)
    options = pinned(objects, options)
    hashes = read_tokens(Path(options.token_file).expanduser())
    return application(options, objects, described(objects, options), hashes)


def described(objects: Objects, options: Serving) -> list[dict[str, Any]]:
    """What `/v1/models` says of each model; the version is pinned here, once for all replicas.

    `takes` and `gives` are JSON schemas by media type, `outputs` what a request may choose.

    Raises:
        SpecError: there is no such model (code "no-such-model"), one whose folds have no mean
            ("folds-of-masks"), or `options` are wrong ("bad-field"); see also
            `guides.require_guide`.
    """
    packages = [open_model(objects, one) for one in options.models]
    for package in packages:
        require_guide(objects, options, package)
    made = [_described(package, options) for package in packages]
    guides = {reference.partition("@")[0] for reference in options.guides.values()}
    strange = set(options.options) - {one["name"] for one in made} - guides
    if strange:
        raise SpecError(
            "no such model is served", code="bad-field", about=f"options.{min(strange)}"
        )
    return made


def _described(package: ModelPackage, options: Serving) -> dict[str, Any]:
    _, document, _ = plans_of(package)[0]
    modality = MODALITIES.get(document["modality"])()
    predict_options(modality, options, package.name)
    if "folds" in package.config and not modality.averages(document["answers"]):
        raise SpecError(
            "the model is one network for each fold, and their answers have no mean",
            code="folds-of-masks",
            about=package.reference,
            hint="train one network on all samples, without `folds`, and serve that",
        )
    wire = modality.wire(document)
    given = dict.fromkeys(answer for media in wire.takes for answer in wire.gives(media))
    return {
        "name": package.name,
        "version": package.version,
        "reference": package.reference,
        "digest": package.digest,
        "task": package.config["task"]["name"],
        "classes": document["classes"],
        "samples": wire.samples,
        "takes": wire.takes,
        "gives": {media: wire.answer if media == JSON else BINARY for media in given},
        "outputs": list(wire.outputs),
    }


def check_address(host: str, tls: tuple[str, str] | None) -> None:
    """Refuse an address that others reach, without TLS: token and images would pass in the clear.

    Raises:
        SpecError: codes "public-without-tls", "no-such-file".
    """
    if tls is None and host not in LOOPBACK:
        raise SpecError(
            "others could read tokens and images on their way",
            code="public-without-tls",
            about=host,
            hint="give --tls-cert and --tls-key, or bind to 127.0.0.1 behind a proxy with TLS",
        )
    for file in tls or ():
        if not Path(file).is_file():
            raise SpecError("there is no such file", code="no-such-file", about=file)


@contextlib.contextmanager
def serving(
    args: dict[str, Any],
    *,
    cluster: str | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    tls: tuple[str, str] | None = None,
    num_cpus: float | None = None,
    on_token: Callable[[str], None] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Serve while the context lasts; gives `/v1/models`.

    Args:
        args: see `build`.
        cluster: profile; None or one of kind `local`: a Ray of this machine's own. One of kind
            `ray`: that which this process is a job of.
        host: address to bind to.
        port: to listen on.
        tls: files of certificate and key.
        num_cpus: of the Ray; None: those this process may use.
        on_token: told a new token, where the file of their hashes is not there yet.

    Raises:
        SpecError: the address is open to others without TLS, the libraries of serving are not
            installed ("missing-extra"), or see `build`.
        RetryableError: the address is taken, or Ray or the replicas did not start.
    """
    need("fastapi", "uvicorn", what="serving")
    check_address(host, tls)
    profile = cluster_profile(cluster) if cluster else None
    if isinstance(profile, Inline):
        raise SpecError("serving needs Ray", code="needs-ray", about=cluster or "")
    if isinstance(profile, RayCluster):
        require_job(profile)
    options = check(SERVING, args, lambda *parts: ".".join(map(str, parts)))
    objects = open_storage(options.storage)
    options = pinned(objects, options)
    models = described(objects, options)
    file = Path(options.token_file).expanduser()
    if on_token is not None and not file.exists():  # nothing is wrong so far
        on_token(add_token(file))
    hashes = read_tokens(file)

    from medray.cluster.serve import deployed
    from medray.cluster.session import join, require, start_local
    from medray.serving.http import make_app
    from medray.serving.lines import Limits
    from medray.serving.listen import bind, listening

    fewest = options.replicas[0] if isinstance(options.replicas, tuple) else options.replicas
    elsewhere = isinstance(profile, RayCluster)
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(bind(host, port))  # Ray takes seconds to say that it is taken
        stack.enter_context(join("auto") if elsewhere else start_local(num_cpus=num_cpus))
        if not elsewhere:  # a cluster may grow
            kinds = 1 if options.together else len(models)
            require(fewest * kinds, options.cpus, options.gpus)
        front = stack.enter_context(deployed(options, objects, models))
        app = make_app(front, options, hashes)
        stack.enter_context(listening(app, bound, tls, options.timeout_s, Limits(options.lines)))
        yield models
