"""Where units and ranks run. The only room that imports Ray."""

import os

# Ray Data would ask the autoscaler for nodes of its own accord: by CPUs and GPUs alone, whatever
# labels the workers need, and it keeps what it asked for until its execution ends. What a pool
# lacks is told better by its own workers that wait for a place. Read when ray.data is imported.
for _resource in ("CPU", "GPU", "MEMORY", "OBJECT_STORE_MEMORY"):
    # No share of a cluster in use is ever as high; Ray refuses infinity.
    os.environ[f"RAY_DATA_DEFAULT_CLUSTER_SCALING_UP_{_resource}_UTIL_THRESHOLD"] = "1e9"
