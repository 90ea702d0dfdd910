"""Molecules: graphs of atoms and bonds, with fingerprints and descriptors beside them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.data.order import Order
from medray.errors import SpecError
from medray.formats.molecules.graph import DESCRIPTORS
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.compounds import reading_of
from medray.modalities.made import Made
from medray.modalities.molecule.plan import (
    MoleculePlan,
    MoleculePlanOptions,
    MoleculePredictOptions,
)
from medray.modalities.plan import PlanOptions, PredictOptions, Sketch, Wanted, planned_fields
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from medray.modalities.molecule.cases import MoleculeCases, MoleculeLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

TOGETHER = 512  # molecules that are validated at once
WIDTHS = {"fingerprint": 2048, "descriptors": 217}  # before there are data
ASKED = ("kernel-ridge",)  # baselines that are fitted where they are to answer, and not else
BATCH = 64  # molecules in a step at most, unless the job says


class MoleculeSamples(Modality):
    """Samples with a graph of atoms and bonds, as the format `smiles` makes them."""

    name: ClassVar[str] = "molecule"
    needs: ClassVar[Needs] = Needs((names("atoms"),))
    PlanOptions: ClassVar[type[PlanOptions]] = MoleculePlanOptions
    PredictOptions: ClassVar[type[PredictOptions]] = MoleculePredictOptions
    baselines: ClassVar[tuple[str, ...]] = ("", "random-forest")

    @classmethod
    def plan_type(cls) -> type[MoleculePlan]:
        """See Modality."""
        return MoleculePlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> MoleculePlan:
        """What the network reads, and how descriptors are scaled."""
        from medray.data.columns import Columns
        from medray.modalities.molecule.cases import gather
        from medray.models import model_options

        beside = getattr(model_options(wanted.model), "beside", ())
        found = gather(dataset, indices, False, beside)
        reading, widths = reading_of(dataset), {}
        if found.bits is not None:
            # Of a dataset that does not say: a bit beyond those that are seen is folded onto them.
            seen = 1 << int(found.bits.values.max(initial=0)).bit_length()
            widths["fingerprint"] = reading.get("fingerprint", {}).get("bits", seen)
        scales = None
        if found.descriptors is not None:
            scales = Columns.of(found.descriptors).plan
            widths["descriptors"] = found.descriptors.shape[1]
        targets = _targets(task, dataset.samples.take(list(indices)).to_pylist())
        return planned_fields(
            MoleculePlan,
            wanted.given,
            {
                "answers": task.answers,
                "classes": task.classes,
                "frequencies": task.statistics(targets.numpy()),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                "graph": _reads_graphs(wanted.model),
                "reading": reading,
                "widths": widths,
                "descriptors": scales,
                "described": DESCRIPTORS in dataset.manifest.arrays,
                "blend": (),
            },
            {"batch_size": f"at most {BATCH} and a tenth of the samples"},
        )

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """With as much beside the graph as usual: only the data know."""
        known = [*(kind or task.baseline for kind in self.baselines), *task.beside, *ASKED]
        if not set(given.blend or ()) <= set(known):
            raise SpecError(
                "no such baseline stands beside the network",
                code="no-baseline",
                about="plan.blend",
                hint=f"of {task.name}: {', '.join(known)}",
            )
        return Sketch({"widths": WIDTHS})

    def build(self, model: dict[str, Any], plan: MoleculePlan) -> "Network":
        """The network for what the plan found."""
        from medray.models import MODELS, model_options

        options = model_options(model, widths=plan.widths)
        return MODELS.get(model["name"]).build(options, 1, len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: MoleculePlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "MoleculeCases":
        """See medray.modalities.molecule.cases."""
        from medray.modalities.molecule.cases import MoleculeCases

        return MoleculeCases(dataset, indices, plan)

    def loader(
        self,
        cases: "MoleculeCases",
        order: Order,
        plan: MoleculePlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "MoleculeLoader":
        """See medray.modalities.molecule.cases."""
        from medray.modalities.molecule.cases import MoleculeLoader

        return MoleculeLoader(
            cases,
            order,
            _targets(task, cases.rows),
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: "Network",
        cases: "MoleculeCases",
        chosen: Sequence[int],
        task: "Task",
        plan: MoleculePlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many molecules at a time."""
        from medray.modalities.ask import ask

        for start in range(0, len(chosen), TOGETHER):
            some = cases.molecules.take(np.asarray(chosen[start : start + TOGETHER]))
            for answer in ask(network, some.tree(device), task, precision):
                yield task.judge(answer, None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: MoleculePlan) -> np.ndarray:
        """See medray.modalities.molecule.design."""
        from medray.modalities.molecule.design import design

        return design(dataset, indices, plan.described)

    def blends(self, plan: MoleculePlan) -> tuple[str, ...]:
        """See Modality."""
        return plan.blend

    def keeps(
        self, dataset: Dataset, indices: Sequence[int], plan: MoleculePlan
    ) -> dict[str, np.ndarray]:
        """See medray.modalities.molecule.similarity."""
        from medray.modalities.molecule.cases import gather
        from medray.modalities.molecule.similarity import BITS, bits_of

        graphs = gather(dataset, indices, True, ()).graphs
        return {} if graphs is None else {BITS: bits_of(graphs)}

    def outputs(
        self, network: "type[Network]", task: "Task", options: MoleculePredictOptions
    ) -> Made:
        """See Modality.

        Raises:
            SpecError: the network does not read atoms (code "no-attributions").
        """
        if options.attributions and not getattr(network, "graph", True):
            raise SpecError(
                "the network reads no atoms",
                code="no-attributions",
                hint="train one that reads graphs, or ask without `attributions`",
            )
        columns = Made().columns | names(name for name, asked in options if asked)
        return Made(columns=columns, of_kept=options.nearest)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.molecule.wire."""
        from medray.modalities.molecule.wire import MoleculeWire

        return MoleculeWire(plan)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """One row for each molecule."""
        from medray.modalities.molecule.predictor import MoleculePredictor

        return MoleculePredictor(trained, asked)

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """With tables by scaffold and similarity, and the compounds that are furthest off."""
        from medray.modalities.molecule.pages import by_scaffold, by_similarity, explained
        from medray.modalities.worst import cases_of, worst

        cases = cases_of(task, truth, predictions)
        tables = [*section.tables, *by_similarity(cases), *by_scaffold(cases)]
        return replace(section, pictures=worst(cases, explained), tables=tables)

    def drawings(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[bytes | None]:
        """Of compounds whose SMILES is among what was kept."""
        from medray.modalities.molecule.pages import drawings

        return drawings(rows)

    def describe(self, plan: MoleculePlan) -> list[str]:
        """What is read of molecules."""
        beside = [f"{name} of {width} columns" for name, width in plan.widths.items()]
        return ["molecules: " + ", ".join([*(["atoms and bonds"] if plan.graph else []), *beside])]


def _reads_graphs(model: dict[str, Any]) -> bool:
    from medray.models import MODELS

    return bool(getattr(MODELS.get(model["name"]), "graph", True))


def _targets(task: "Task", rows: Sequence[dict[str, Any]]) -> "Tensor":
    targets = task.targets(rows)
    if targets is None:
        raise SpecError(
            "a molecule has no places to answer for",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return targets
