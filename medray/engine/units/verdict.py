"""Whose fault an error is, which decides what becomes of the unit."""

from medray.errors import DamageError, DataError, MedrayError, RetryableError
from medray.storage.store.store_errors import LASTING


def is_fault_of_storage(error: Exception) -> bool:
    """Whether no input is to blame."""
    # A refusal stands for good, and stored data can be repaired: equal inputs, equal output.
    return isinstance(error, DamageError) or (
        isinstance(error, MedrayError) and not isinstance(error, DataError)
    )


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice; it may, once the process has nothing else to do."""
    # torch raises RuntimeError, in words that differ between CPU and GPU.
    return isinstance(error, MemoryError) or any(
        words in str(error)
        for words in ("allocate memory", "out of memory", "can't start new thread")
    )


def is_passing(error: BaseException) -> bool:
    """Whether it is worth trying again a little later."""
    return isinstance(error, RetryableError) and error.code not in LASTING
