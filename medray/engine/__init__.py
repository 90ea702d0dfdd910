"""What one worker does. torch yes, ray never."""

from medray.engine.units.operation import Operation
from medray.registry import Registry

OPERATIONS: Registry[Operation] = Registry(
    "medray.operations",
    {
        "ingest": "medray.steps.ingest.operation:Ingest",
        "transform": "medray.steps.transform.operation:Transform",
        "predict": "medray.steps.predict.operation:Predict",
        "evaluate": "medray.steps.evaluate.operation:Evaluate",
        "score": "medray.steps.variants.operation:Score",
        "part": "medray.steps.export.join:Part",
        "join": "medray.steps.export.join:Join",
        "export": "medray.steps.export.operation:Export",
    },
)
