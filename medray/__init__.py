"""medray: distributed batch processing for biomedical deep learning.

`medray.open("ct@3f9c…")` gives a dataset; `medray.run("job.yaml")` runs a job.
"""

from typing import TYPE_CHECKING, Any

from medray.version import __version__

if TYPE_CHECKING:
    from medray.jobs.run import run
    from medray.jobs.storage_by_name import open_reference as open  # noqa: A004

__all__ = ["__version__", "open", "run"]


def __getattr__(name: str) -> Any:
    # Lazy: `import medray` must load neither torch nor ray nor pyarrow.
    if name == "run":
        from medray.jobs.run import run

        return run
    if name == "open":
        from medray.jobs.storage_by_name import open_reference

        return open_reference
    raise AttributeError(f"module 'medray' has no attribute {name!r}")
