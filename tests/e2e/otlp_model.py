"""A model instrumented with OpenTelemetry's SDK.

``python -m tests.e2e.otlp_model ENDPOINT COMPRESSION RECORDS SECONDS`` logs numbered records through the standard
library's logging, and prints the numbers of those whose export was acknowledged, one line per request.
"""

import logging
import sys
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource


class NotingExporter(OTLPLogExporter):
    """The SDK's own, saying what was acknowledged."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export, and print the numbers if that went well."""
        result = super().export(batch)
        if result is LogRecordExportResult.SUCCESS:
            print(*[(record.log_record.attributes or {})["n"] for record in batch], flush=True)
        return result


def main(endpoint: str, compression: str, records: int, seconds: float) -> None:
    """Log so many records over so many seconds, and wait until they are exported or given up."""
    provider = LoggerProvider(resource=Resource.create({"service.name": "scorer"}))
    exporter = NotingExporter(endpoint=endpoint, compression=Compression(compression))
    provider.add_log_record_processor(
        BatchLogRecordProcessor(exporter, schedule_delay_millis=20, max_export_batch_size=100, max_queue_size=100_000)
    )
    log = logging.getLogger("model")
    log.setLevel(logging.INFO)
    log.addHandler(LoggingHandler(logger_provider=provider))
    began = time.monotonic()
    for n in range(records):
        log.info("scored", extra={"n": n})
        time.sleep(max(0.0, began + seconds * n / records - time.monotonic()))
    provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
