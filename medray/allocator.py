"""How this process's C allocator treats the large, short-lived arrays of a network."""

import ctypes
import sys

KEEP_BYTES = 2**30
_M_TRIM_THRESHOLD = -1  # names and numbers of glibc's malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_freed_memory() -> bool:
    """Let glibc keep up to 1 GiB of freed memory instead of giving it back to the system.

    By default every activation above 32 MiB is mapped, zeroed page by page by the kernel, and
    unmapped again on each call of the network: on 2 cores that took 26 % of a 3-D U-Net's time
    (bf16, 64 x 96 x 96 windows). Only the main arena can keep as much, so threads share it; call
    this once per process that runs networks on the CPU, before numpy is loaded and so before any
    other thread is there. Where threads come first, as in Ray's workers, the environment has to say
    MALLOC_ARENA_MAX=1.

    A process with a limit on its data gives freed memory back: what is kept in pieces counts, and
    an input that fits would be refused for want of it.

    Returns:
        Whether it was done; False under such a limit, and without glibc, where it isn't needed.
    """
    if not sys.platform.startswith("linux"):
        return False
    import resource

    if resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    limits = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: KEEP_BYTES, _M_TRIM_THRESHOLD: KEEP_BYTES}
    return all(mallopt(name, value) for name, value in limits.items())
