"""Baselines: what is fitted beside a network, by name. Loaded lazily.

A network that is no better than these has learnt nothing they had not; so they stand beside it.
"""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.engine.training.baselines.base import Baseline

BASELINES: "Registry[Baseline]" = Registry(
    "medray.baselines",
    {
        "logistic": "medray.engine.training.baselines.logistic:Logistic",
        "ridge": "medray.engine.training.baselines.ridge:Ridge",
        "random-forest": "medray.engine.training.baselines.forest:Forest",
        "additive": "medray.engine.training.baselines.additive:Additive",
        "principal": "medray.engine.training.baselines.principal:Principal",
    },
)
