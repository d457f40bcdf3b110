"""Records as columns. pyarrow is imported here, and only here."""

from collections.abc import Iterator
from typing import Any

from agent.errors import Paused
from agent.outputs.s3.contents import Unreadable, known

DOCUMENT = "document"


def write(documents: list[bytes]) -> bytes:
    """The file: what readers select by, and each document whole, byte for byte. Raises ``Paused`` when pyarrow is
    not there."""
    arrow, parquet = _pyarrow()
    rows = [known(document) for document in documents]
    columns = {
        "@timestamp": [row.timestamp for row in rows],
        "event_id": [row.event.id for row in rows],
        "level": [row.log.level for row in rows],
        "model": [row.ml.model.name for row in rows],
        "version": [row.ml.model.version for row in rows],
        "message": [_encodable(row.message) for row in rows],
    }
    arrays = [arrow.array(values, arrow.string()) for values in columns.values()]
    arrays.append(arrow.array(documents, arrow.binary()).cast(arrow.string()))
    sink = arrow.BufferOutputStream()
    names = [*columns, DOCUMENT]
    dictionary = ["level", "model", "version"]
    parquet.write_table(arrow.Table.from_arrays(arrays, names), sink, compression="zstd", use_dictionary=dictionary)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def read(body: bytes) -> Iterator[bytes]:
    """The documents of such a file. Raises ``Unreadable``, and ``Paused`` when pyarrow is not there."""
    arrow, parquet = _pyarrow()
    try:
        table = parquet.ParquetFile(arrow.BufferReader(body))
        for some in table.iter_batches(batch_size=1000, columns=[DOCUMENT]):
            for document in some.column(0).cast(arrow.binary()):
                yield document.as_py()
    except (arrow.ArrowException, OSError) as error:
        raise Unreadable(f"it is not Parquet: {error}") from error


def _encodable(message: str | None) -> str | None:
    """Text that is UTF-8: half a surrogate pair is not, and stays as it is in the document alone."""
    return None if message is None else message.encode(errors="replace").decode()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Paused("`format: parquet` needs the extra `parquet`: pip install 'modeltail[parquet]'") from error
    return pyarrow, pyarrow.parquet
