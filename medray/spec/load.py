"""From files to checked steps and profiles. Merging order: defaults < profiles < job < --set."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from medray.errors import SpecError
from medray.spec.check import ByKind, check
from medray.spec.documents import expand, place, read_documents, variables_of
from medray.spec.kinds import SPECS, STEP
from medray.spec.override import merge, override
from medray.spec.profiles import CLUSTER, Cluster
from medray.spec.step import StepSpec
from medray.spec.storage import STORAGE, Storage
from medray.spec.urls import refuse_userinfo
from medray.veil import as_given

T = TypeVar("T")
Job = str | Path | dict[str, Any] | Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Source:
    """Documents of a job before they are checked, as they are kept: with `${NAME}` in them.

    Args:
        name: what errors call where they stand.
        documents: one for each step.
    """

    name: str
    documents: list[dict[str, Any]]

    def filled(self, index: int) -> dict[str, Any]:
        """A document with its variables filled in, to be used and not to be kept."""
        document: dict[str, Any] = expand(self.documents[index], place(self.name, index + 1))
        return {name: _at_home(name, value) for name, value in document.items()}


def read_job(job: Job, settings: Sequence[str] = ()) -> Source:
    """A job's documents: of a file (or one that ships with medray), or given as plain values.

    Args:
        job: path of a YAML file, one step, or several.
        settings: see `medray.spec.override`.

    Raises:
        SpecError: see `read_documents` and `override`.
    """
    if isinstance(job, str | Path):
        path = find("jobs", str(job))
        source = Source(str(job), read_documents(path))
    else:
        steps = [job] if isinstance(job, dict) else list(job)
        expand(steps, "job")
        source = Source("job", [dict(step) for step in steps])
    documents = override(source.documents, settings)
    return Source(source.name, [_absolute(document) for document in documents])


_FOLDERS = frozenset({"source", "to"})


def _absolute(document: dict[str, Any]) -> dict[str, Any]:
    """Folders as this process sees them, so that the job can be resumed from anywhere."""
    made = {}
    for name, given in document.items():
        filled = _at_home(name, expand(given, name))
        relative = _is_folder(name, filled) and not Path(filled).is_absolute()
        shown = given if "${" in str(given) else filled
        made[name] = str(Path.cwd() / shown) if relative else shown
    return made


def _at_home(name: str, value: Any) -> Any:
    return str(Path(value).expanduser()) if _is_folder(name, value) else value


def _is_folder(name: str, value: Any) -> bool:
    return name in _FOLDERS and isinstance(value, str) and "://" not in value


def check_step(
    source: Source, index: int, defaults: Mapping[Any, dict[str, Any]] | None = None
) -> StepSpec:
    """One document as a step.

    Args:
        source: of the document.
        index: of the document, from 0.
        defaults: of a cluster profile, by kind; the document wins over them.

    Raises:
        SpecError: a field is wrong (code "bad-field"); the message names file, document and field.
    """
    document = source.filled(index)
    for error in kept_variables(source, index):
        raise SpecError(
            error.message,
            code=error.code,
            about=place(source.name, index + 1, error.about),
            hint=error.hint,
        )
    lower = (defaults or {}).get(str(document.get("kind")), {})
    step: StepSpec = check(
        STEP, merge(lower, document), lambda *parts: place(source.name, index + 1, *parts)
    )
    return step


def kept_variables(source: Source, index: int) -> Iterator[SpecError]:
    """Variables where storage keeps values: names, and what describes models and data; what is
    wrong with each (code "kept-variable"), about its field.

    Args:
        source: of the document, whose variables all have values.
        index: of the document, from 0.
    """
    document = source.documents[index]
    spec = SPECS.get(str(source.filled(index).get("kind")))
    for path in sorted(spec.kept() if spec is not None else ()):
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        named = sorted(variables_of(value))
        if named:
            yield SpecError(
                f"what ${{{named[0]}}} stands for would be kept: names, and what describes a model "
                "or a dataset, stand in storage as they are",
                code="kept-variable",
                about=path,
                hint="write it out; variables belong in `source`, `to` and options of formats",
            )


def cluster_profile(name: str) -> Cluster:
    """The cluster profile in cluster/<name>.yaml, in a file, or as shipped.

    Raises:
        SpecError: there is none (code "no-such-profile"), or a field is wrong ("bad-field").
    """
    return _profile("cluster", name, CLUSTER)


def storage_profile(name: str) -> Storage:
    """The storage profile in storage/<name>.yaml, in a file, or as shipped.

    Raises:
        SpecError: there is none (code "no-such-profile"), or a field is wrong ("bad-field").
    """
    return _profile("storage", name, STORAGE)


def _profile(
    room: Literal["cluster", "storage"], name: str, adapter: TypeAdapter[T] | ByKind[T]
) -> T:
    path = find(room, name)
    documents = read_documents(path)
    if len(documents) > 1:
        raise SpecError("a profile is one document", code="bad-field", about=str(path))
    document = expand(documents[0], place(path, 1))
    return check(adapter, document, lambda *parts: place(path, 1, *parts))


def find(room: Literal["jobs", "cluster", "storage"], name: str) -> Path:
    """The file that `name` means: a path that exists, <room>/<name>.yaml here, or as shipped.

    Raises:
        SpecError: there is none (code "no-such-file" for jobs, else "no-such-profile"), or it is
            a URL with a secret in it ("secret-in-url").
    """
    plain = Path(refuse_userinfo(name, f"the {room.removesuffix('s')} that was named"))
    if plain.suffix in (".yaml", ".yml") and _is_file(plain):
        return plain
    stem = plain.name.removesuffix(".yaml")
    ours = shipped(room)
    for folder in (Path(room), ours):
        if plain.parent in (Path(), Path(room)) and _is_file(folder / f"{stem}.yaml"):
            return folder / f"{stem}.yaml"
    hint = "`medray init DIR` lays out examples"
    if room == "storage":
        hint += f"; a folder is written with a slash: ./{name}"
    known = sorted({path.stem for folder in (Path(room), ours) for path in folder.glob("*.yaml")})
    raise SpecError(
        "there is no such job file" if room == "jobs" else f"there is no such {room} profile",
        code="no-such-file" if room == "jobs" else "no-such-profile",
        about=name,
        hint=f"known here: {', '.join(known) or 'none'}; {hint}",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # a name longer than any file's, or below a folder that may not be entered


def shipped(room: str) -> Path:
    """The folder of examples that came with medray: inside the wheel, or beside the sources."""
    package = Path(str(files("medray")))
    inside = package / "shipped" / room
    return inside if inside.is_dir() else package.parent / room


def json_schema() -> dict[str, Any]:
    """JSON Schema of one document of a job file, for editors."""
    schema = STEP.json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def dump(step: StepSpec, document: dict[str, Any]) -> str:
    """The resolved step as JSON, to be stored with the run.

    Args:
        step: with every default.
        document: that it was made of, whose variables are kept.
    """
    values = step.model_dump(mode="json")
    return json.dumps(as_given(values, document), indent=1, sort_keys=True)
