"""What a network finds in validation images."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch

from medray.modalities.base import Precision
from medray.modalities.image.judge import OVERLAP, slabs_of
from medray.modalities.image.objects.cases import ObjectCases
from medray.modalities.image.objects.find import find
from medray.modalities.image.plan import ImagePlan
from medray.models.base import Network
from medray.models.image.base import ImageNetwork
from medray.tasks.objects import ObjectTask


def judge_objects(
    network: Network,
    cases: ObjectCases,
    chosen: Sequence[int],
    task: ObjectTask,
    plan: ImagePlan,
    device: torch.device,
    precision: Precision,
) -> Iterator[list[float]]:
    """See Modality.judge."""
    for case in chosen:
        shape = cases.shapes[case]
        inner = plan.network_shape(shape, cases.rows[case].get("spacing_mm"))
        found: np.ndarray = find(
            network,
            slabs_of(cases, case, plan.in_channels),
            task,
            roi=plan.window(inner, cast("ImageNetwork", network).divisor),
            overlap=OVERLAP,
            precision=precision,
            network_shape=inner,
            device=device,
        )
        yield task.judge(found, cases.boxes[case])
