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
        "score": "medray.engine.score:Score",
        "part": "medray.engine.join:Part",
        "join": "medray.engine.join:Join",
        "export": "medray.engine.export:Export",
    },
)
