"""Baselines: what is fitted beside a network, by name. Loaded lazily.

A network that is no better than these has learnt nothing they had not; so they stand beside it.
"""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.baselines.base import Baseline

BASELINES: "Registry[Baseline]" = Registry(
    "medray.baselines",
    {
        "logistic": "medray.baselines.logistic:Logistic",
        "ridge": "medray.baselines.ridge:Ridge",
        "random-forest": "medray.baselines.forest:Forest",
        "t-learner": "medray.baselines.t_learner:TLearner",
        "boosted-trees": "medray.baselines.boosting:Boosting",
        "kernel-ridge": "medray.baselines.kernel:Kernel",
        "additive": "medray.baselines.additive:Additive",
        "cox": "medray.baselines.cox:Cox",
        "principal": "medray.baselines.principal:Principal",
    },
)
