"""What an invocation says of itself: lines of JSON, one of them with metrics that CloudWatch reads (its embedded metric
format)."""

import json
import sys
import time
from typing import Any

from .consume import Report

NAMESPACE = "modeltail"


def log(level: str, message: str, **fields: Any) -> None:
    """Write a line."""
    print(json.dumps({"level": level, "message": message, **fields}), file=sys.stdout, flush=True)


def tell(report: Report, function: str) -> None:
    """Say what was done, what was set aside, and what must come again."""
    for key, reason in report.aside:
        log("ERROR", "Set aside: it cannot be written where it belongs", key=key, reason=reason)
    for shard, sequence in report.failed.items():
        log("WARNING", "Must come again", shard=shard, sequence=sequence, reason=report.reasons[shard])
    log("INFO", "Done", **metrics_line(report, function))


def metrics_line(report: Report, function: str) -> dict[str, Any]:
    """The counts, with what CloudWatch needs to make metrics of them."""
    counts: dict[str, int] = {
        "KinesisRecords": report.records,
        "Documents": report.documents,
        "Bad": report.bad,
        "Failures": len(report.failed),
        "PutOff": report.put_off,
        "Stored": sum(report.stored.values()),
        "Duplicates": sum(report.duplicates.values()),
    }
    for name, stored in report.stored.items():
        counts[f"Stored.{name}"] = stored
        counts[f"Duplicates.{name}"] = report.duplicates[name]
    metrics = [{"Name": name, "Unit": "Count"} for name in counts]
    return {
        "_aws": {
            "Timestamp": time.time_ns() // 1_000_000,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": metrics}],
        },
        "FunctionName": function,
        **counts,
    }
