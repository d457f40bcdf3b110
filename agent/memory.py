"""How the process uses memory, set once at the start. It changes speed, never results."""

import ctypes
import gc
import os

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_KEEP_BYTES = 4 * 1024**2


def tune_allocator() -> None:
    """Keep up to ``_KEEP_BYTES`` of freed memory instead of giving it back after every batch, and share one arena among
    threads.

    A batch of documents is freed and allocated again a thousand times a second; left alone, glibc returns its pages to
    the kernel each time and has them zeroed anew. musl has no such settings.
    """
    # libuv's threads look up names, nothing else, and it would start four.
    os.environ.setdefault("UV_THREADPOOL_SIZE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((_M_TRIM_THRESHOLD, _KEEP_BYTES), (_M_MMAP_THRESHOLD, _KEEP_BYTES), (_M_ARENA_MAX, 1)):
            mallopt(setting, value)


def load_aiohttp() -> None:
    """Import aiohttp without the certificates the system trusts. It reads them all, twice, for connections that bring
    no TLS settings of their own; every one of ours does."""
    nowhere = dict.fromkeys(("SSL_CERT_FILE", "SSL_CERT_DIR"), os.devnull)
    before = {name: os.environ.get(name) for name in nowhere}
    os.environ.update(nowhere)
    try:
        import aiohttp  # noqa: F401
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def tune_collector() -> None:
    """To be called when everything is there. What is there stays, so the collector need not look at it; what a batch
    makes is freed by reference count, so collecting often finds nothing."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # what starting needed and nothing else will
    gc.set_threshold(5_000, 20, 100)
