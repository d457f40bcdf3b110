"""What HTTP bodies and objects are compressed with."""

from isal import isal_zlib

_GZIP_WINDOW = 31


def gzipped(data: bytes) -> bytes:
    """The gzip member of this (level 1 of ``isal``). Releases the interpreter lock while it works."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP_WINDOW)
    compressed: bytes = compressor.compress(data) + compressor.flush()
    return compressed
