"""Images: patches or whole ones, normalised, on the grid of the network."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from medray.data.order import Order
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.generation import Generation
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.explain import EXPLAINED, HOW, MAP, no_grad_cam, no_maps
from medray.modalities.image.options import ImageOptions, ImagePlanOptions
from medray.modalities.image.pairs import Pairs
from medray.modalities.image.radiology.shows import ImageShows
from medray.modalities.image.restored import refuse_silent
from medray.modalities.image.wire import ImageWire
from medray.modalities.made import ANSWERED, Made
from medray.modalities.plan import Augment, PlanOptions, PredictOptions, Sketch, Wanted
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names

if TYPE_CHECKING:
    import torch

    from medray.modalities.image.cases import Cases
    from medray.modalities.image.loader import Loader
    from medray.modalities.image.objects.cases import ObjectCases
    from medray.modalities.image.plan import ImagePlan
    from medray.models.base import Network
    from medray.models.image.base import ImageNetwork
    from medray.tasks.base import Task
    from medray.tasks.objects import ObjectTask
    from medray.tasks.restoring import RestoringTask


class Images(Pairs, ImageShows, Modality):
    """Samples with an array `image`; of dense tasks with an array `label` besides."""

    name: ClassVar[str] = "image"
    needs: ClassVar[Needs] = Needs((names("image"),))
    Augment: ClassVar[type[Augment]] = ImageAugment
    PlanOptions: ClassVar[type[PlanOptions]] = ImagePlanOptions
    PredictOptions: ClassVar[type[PredictOptions]] = ImageOptions
    extends: ClassVar[frozenset[str]] = frozenset({"space"})

    @classmethod
    def plan_type(cls) -> "type[ImagePlan]":
        """See Modality."""
        from medray.modalities.image.plan import ImagePlan

        return ImagePlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> "ImagePlan":
        """See medray.modalities.image.plan."""
        from medray.modalities.image.build import levels_of
        from medray.modalities.image.drawn.plan import alike, stored_as
        from medray.modalities.image.guide.masks import guide_of, require_places
        from medray.modalities.image.plan import make_plan
        from medray.modalities.image.survey import fingerprint

        require_places(wanted.given, task)
        draws = task.answers == "image"
        given = alike(wanted.given) if draws else wanted.given
        found = fingerprint(dataset, indices, task, given=given)
        plan = make_plan(
            found,
            task,
            dims=wanted.model.get("dims"),
            levels=levels_of(wanted.model),
            batch_size=wanted.settings.batch_size,
            augment=self.augmented(wanted.settings),
            device=wanted.device,
            given=given,
        )
        if task.answers == "restored":
            cast("RestoringTask", task).hidden(plan.patch, 0)  # says what can't be
        if wanted.given.guide:
            return plan.model_copy(update={"guide": guide_of(dataset, indices)})
        if not draws:
            return plan
        dtype = str(dataset.array(indices[0], "image").dtype)
        return plan.model_copy(update={"stored": stored_as(dtype, found.spacings)})

    def sketch(
        self, model: dict[str, Any], given: ImagePlanOptions, task: "Task", axes: int | None
    ) -> Sketch:
        """See medray.modalities.image.build."""
        from medray.modalities.image.build import sketch_of
        from medray.modalities.image.guide.masks import require_places

        require_places(given, task)
        return sketch_of(given, task, model.get("dims"), axes)

    def accept(self, network: "Network", sketch: Sketch) -> None:
        """See medray.modalities.image.build."""
        from medray.modalities.image.build import require_fitting

        require_fitting(sketch.size or (), cast("ImageNetwork", network))

    def build(self, model: dict[str, Any], plan: "ImagePlan") -> "Network":
        """See medray.modalities.image.build."""
        from medray.modalities.image.build import build_network

        return build_network(model, plan)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: "ImagePlan",
        task: "Task",
        settings: TrainSettings,
    ) -> "Cases":
        """See medray.modalities.image.cases; of objects medray.modalities.image.objects.cases."""
        if task.answers == "objects":
            from medray.modalities.image.objects.cases import ObjectCases

            return ObjectCases(
                dataset,
                indices,
                plan.channels,
                cast("ObjectTask", task),
                dims=plan.dims,
                spacing_mm=plan.spacing_mm,
                cache_bytes=settings.cache_bytes,
            )
        from medray.modalities.image.cases import Cases

        return Cases(
            dataset,
            indices,
            plan.channels,
            dims=plan.dims,
            spacing_mm=plan.spacing_mm,
            classes=len(task.classes) if task.answers == "place" else 0,
            ignored=task.ignored,
            places=task.places,
            guide=plan.guide,
            cache_bytes=settings.cache_bytes,
        )

    def loader(
        self,
        cases: "Cases",
        order: Order,
        plan: "ImagePlan",
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "Loader":
        """See medray.modalities.image.loader; of objects objects.loader, of what is hidden
        restored.loader."""
        from medray.modalities.image.loader import Loader
        from medray.modalities.image.objects.loader import ObjectLoader
        from medray.modalities.image.restored.loader import RestoringLoader

        kinds: dict[str, Callable[..., Loader]] = {
            "objects": ObjectLoader,
            "restored": partial(RestoringLoader, cast("RestoringTask", task)),
        }
        return kinds.get(task.answers, Loader)(
            cases,
            order,
            plan.patch,
            targets=task.targets(cases.rows),
            augment=self.augmented(settings),
            foreground=plan.foreground,
            rank=share[0],
            size=share[1],
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
            channels_last=settings.channels_last,
        )

    def judge(
        self,
        network: "Network",
        cases: "Cases",
        chosen: Sequence[int],
        task: "Task",
        plan: "ImagePlan",
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """See medray.modalities.image.judge; of objects objects.judge, of what is drawn
        drawn.judge."""
        if task.answers == "objects":
            from medray.modalities.image.objects.judge import judge_objects

            boxes, boxed = cast("ObjectCases", cases), cast("ObjectTask", task)
            return judge_objects(network, boxes, chosen, boxed, plan, device, precision)
        if task.answers == "image":
            from medray.modalities.image.drawn.judge import judged

            return judged(network, cases, chosen, task, plan, device)
        from medray.modalities.image.judge import judge

        return judge(network, cases, chosen, task, plan, device, precision)

    def averages(self, answers: str) -> bool:
        """Boxes are not averaged: networks find other ones. What was hidden nobody asks for."""
        return answers not in ("objects", "restored")

    def plans_together(self, answers: str) -> bool:
        """Networks that are blended as one have one grid, and see the same intensities."""
        return answers == "place"

    def united(
        self, networks: "Sequence[Network]", plans: "Sequence[ImagePlan]", task: "Task"
    ) -> "Network | None":
        """See medray.modalities.image.averaged; of whole images answers are averaged."""
        if task.answers != "place":
            return None
        from medray.modalities.image.averaged import averaged

        return averaged(networks, plans, task)

    def generation(self) -> Generation:
        """See medray.modalities.image.drawn.generation."""
        from medray.modalities.image.drawn.generation import NewImages

        return NewImages()

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.image.wire."""
        return ImageWire(plan)

    def guided_by(self, plan: dict[str, Any]) -> tuple[str, ...]:
        """See Several."""
        return tuple(plan.get("guide") or ())

    def cascaded(self, fine: Answering, coarse: Answering) -> Answering:
        """See medray.modalities.image.guide.cascaded."""
        from medray.modalities.image.guide.cascaded import Cascaded

        return Cascaded(fine, coarse)

    def outputs(self, network: "type[Network]", task: "Task", options: ImageOptions) -> Made:
        """A mask, or the probability of each class in each voxel; boxes; else columns. And maps.

        Raises:
            SpecError: such models draw new images (code "draws-only") or restore hidden parts
                ("restores-only"), or boxes are to have Grad-CAM ("no-attributions").
        """
        refuse_silent(task.answers, task.name)
        maps = options.outputs in HOW
        if task.answers == "objects":
            if options.outputs == "grad-cam":
                raise no_grad_cam(task.name)
            found = names("objects")
            return Made(names(MAP), found | names(EXPLAINED)) if maps else Made(columns=found)
        masks = names("label") if task.answers == "place" else names()
        if maps:
            answered = names() if masks else ANSWERED
            return Made(masks | names(MAP), answered | names(EXPLAINED))
        if not masks:
            return Made()
        return Made(names("label" if options.outputs == "labels" else "probability"), names())

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """See medray.modalities.image.predictor, of objects medray.modalities.image.objects, and
        explain.predictor where maps are asked for.

        Raises:
            SpecError: Grad-CAM of a network that names no map of features, or maps of one that
                masks guide ("no-attributions"); or the model draws new images ("draws-only") or
                restores hidden parts ("restores-only").
        """
        refuse_silent(trained.task.answers, trained.reference)
        if asked.options.outputs in HOW and cast("ImagePlan", trained.plan).guide:
            raise no_maps(trained.reference)
        if asked.options.outputs in HOW:
            from medray.modalities.image.explain.predictor import ExplainingPredictor

            return ExplainingPredictor(trained, asked)
        if trained.task.answers == "objects":
            from medray.modalities.image.objects.predictor import ObjectPredictor

            return ObjectPredictor(trained, asked)
        from medray.modalities.image.predictor import ImagePredictor

        return ImagePredictor(trained, asked)

    def layout(self, network: "Network", plan: "ImagePlan", device: "torch.device") -> None:
        """See medray.modalities.image.channels_last."""
        from medray.modalities.image.channels_last import for_inference

        for_inference(network, plan.dims, device)

    def describe(self, plan: "ImagePlan") -> list[str]:
        """Patch and grid, how much a patch shows of an image, and what guides the network."""
        grid = list(plan.spacing_mm or ()) or "of each image"
        lines = [f"{plan.dims}-D, patch {list(plan.patch)}, grid {grid} (mm)"]
        if why := plan.reasons.get("median_shape"):
            lines.append(f"median image {list(plan.median_shape)}: {why}")
        if plan.guide:
            lines.append(f"guided by masks of {', '.join(plan.guide)}")
        return lines
