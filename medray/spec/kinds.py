"""The kinds of step, by name. A kind is a folder of the steps room and a line here.

This room lies below the steps: it knows a kind by what is said here, and loads it when asked.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Protocol

from medray.errors import SpecError
from medray.registry import Registry
from medray.spec.check import ByKind
from medray.spec.step import StepSpec


class Kind(Protocol):
    """What a document needs to know of its kind; see medray.steps.base.step.Step."""

    Spec: ClassVar[type[StepSpec]]
    makes: ClassVar[Literal["datasets", "models"]]


KINDS: Registry[Kind] = Registry(
    "medray.steps",
    {
        "ingest": "medray.steps.ingest:IngestStep",
        "gather": "medray.steps.gather:GatherStep",
        "transform": "medray.steps.transform:TransformStep",
        "train": "medray.steps.train:TrainStep",
        "learning-curve": "medray.steps.train.learning_curve:LearningCurveStep",
        "predict": "medray.steps.predict:PredictStep",
        "screen": "medray.steps.screen:ScreenStep",
        "rank": "medray.steps.rank:RankStep",
        "generate": "medray.steps.generate:GenerateStep",
        "variants": "medray.steps.variants:VariantsStep",
        "evaluate": "medray.steps.evaluate:EvaluateStep",
        "export": "medray.steps.export:ExportStep",
    },
)


class _Specs(Mapping[str, type[StepSpec]]):
    """The models of all kinds; each is loaded when it is looked up."""

    def __getitem__(self, name: str) -> type[StepSpec]:
        try:
            return KINDS.get(name).Spec
        except SpecError as error:
            if error.code != "unknown-plugin":
                raise
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS.names())

    def __len__(self) -> int:
        return len(KINDS.names())


SPECS: Mapping[str, type[StepSpec]] = _Specs()
STEP: ByKind[StepSpec] = ByKind(SPECS)
