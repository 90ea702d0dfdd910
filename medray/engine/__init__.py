"""What one worker does. torch yes, ray never."""

from medray.engine.operation import Operation
from medray.registry import Registry

OPERATIONS: Registry[Operation] = Registry(
    "medray.operations",
    {
        "ingest": "medray.engine.ingest:Ingest",
        "transform": "medray.engine.transform:Transform",
        "predict": "medray.engine.predict:Predict",
        "evaluate": "medray.engine.evaluate:Evaluate",
        "export": "medray.engine.export:Export",
    },
)
