"""What a record costs in memory: normalise, enrich and render, step by step, without input, queue and output.

    python -m bench.hotpath [BATCH_RECORDS]

Prints microseconds per record, the best of several rounds, for lines of several kinds. The first row, decoding alone,
is what no change to our own code can save; compare the others with it, not with another machine's.
"""

import gc
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser, NormaliseSettings, Parser
from agent.processors.parse.config import CsvParse, LogfmtParse, RegexParse
from agent.processors.parse.make import parser_of
from agent.record import Batch, Counts
from agent.render import render

RECORDS: Final = 24_000
ROUNDS: Final = 7
IDENTITY: Final = {
    "host.name": b'"node-0001"',
    "service.name": b'"fraud-scorer"',
    "service.environment": b'"prod"',
    "ml.model.name": b'"fraud-scorer"',
    "ml.model.version": b'"3.2.0"',
    "labels.region": b'"eu-west-1"',
}


def inference(i: int, rng: random.Random) -> dict[str, object]:
    """A record as an inference server logs it: 412 bytes of JSON."""
    return {
        "timestamp": f"2026-11-22T10:{i // 60 % 60:02}:{i % 60:02}.{i * 7919 % 1_000_000:06}Z",
        "level": rng.choice(["INFO"] * 9 + ["WARNING"]),
        "logger": "scorer.predict",
        "message": "prediction served",
        "request_id": f"{rng.getrandbits(128):032x}",
        "inputs": {
            "amount": round(rng.random() * 100, 2),
            "country": "FR",
            "features": [round(rng.random(), 11) for _ in range(3)],
        },
        "outputs": {"label": "ok", "score": round(rng.random(), 6)},
        "metrics": {"confidence": round(rng.random(), 4)},
        "latency_ms": round(rng.random() * 100, 3),
        "batch_size": 1,
        "ab_group": "B",
    }


def _json_lines(change: Callable[[int, dict[str, object]], object]) -> list[bytes]:
    rng = random.Random(7)
    return [json.dumps(change(i, inference(i, rng))).encode() for i in range(RECORDS)]


def _kinds() -> dict[str, list[bytes]]:
    rng = random.Random(7)
    return {
        "inference": _json_lines(lambda i, r: r),
        "asctime, WARN": _json_lines(
            lambda i, r: (
                r | {"timestamp": str(r["timestamp"]).replace("T", " ").replace(".", ",")[:23], "level": "WARN"}
            )
        ),
        "epoch float": _json_lines(lambda i, r: r | {"timestamp": 1763805600.25 + i / 100}),
        "one in ten NaN": _json_lines(lambda i, r: r | ({"latency_ms": float("nan")} if i % 10 == 0 else {})),
        "one in ten another shape": _json_lines(
            lambda i, r: r | ({"exc_info": "Traceback\n  f\nValueError: no"} if i % 10 == 0 else {})
        ),
        "ECS objects": _json_lines(
            lambda i, r: r | {"log": {"origin": {"file": {"name": "a.py", "line": 3}}}, "process": {"pid": 1}}
        ),
        "text": [
            f"2026-11-22 10:00:{i % 60:02},123 - scorer - WARNING - cache miss {rng.random()}".encode()
            for i in range(RECORDS)
        ],
    }


def _parsed_kinds() -> dict[str, tuple[list[bytes], Parser]]:
    """Lines that are taken apart as the operator says, and by a preset."""
    rng = random.Random(7)
    parts = [
        (f"2026-11-22 10:00:{i % 60:02},123", f"{rng.getrandbits(64):016x}", f"{rng.random() * 100:.3f}")
        for i in range(RECORDS)
    ]
    pattern = r"^(?P<time>\S+ \S+) \[(?P<level>[A-Z]+)\] (?P<request_id>\S+) (?P<latency_ms>[\d.]+) (?P<message>.*)$"
    columns = ["time", "level", "request_id", "latency_ms", "message"]
    return {
        "regex": (
            [f"{time} [INFO] {request} {ms} prediction served".encode() for time, request, ms in parts],
            parser_of((), RegexParse(pattern=pattern), "UTC"),
        ),
        "logfmt": (
            [
                f'time="{time}" level=INFO request_id={request} latency_ms={ms} msg="prediction served"'.encode()
                for time, request, ms in parts
            ],
            parser_of((), LogfmtParse(), "UTC"),
        ),
        "csv": (
            [f'"{time}",INFO,{request},{ms},prediction served'.encode() for time, request, ms in parts],
            parser_of((), CsvParse(columns=columns), "UTC"),
        ),
        "preset vllm": (
            [
                f"INFO 11-22 {time[11:19]} [async_llm.py:430] Finished request {request}.".encode()
                for time, request, _ in parts
            ],
            parser_of(("vllm",), None, "UTC"),
        ),
    }


def _batches(lines: list[bytes], size: int) -> list[Batch]:
    made = []
    for start in range(0, len(lines), size):
        part = lines[start : start + size]
        offsets = [b"%d" % (412 * (start + i)) for i in range(len(part))]
        counts = Counts(accepted=len(part), dropped={}, noted={})
        made.append(
            Batch(
                "in",
                None,
                1_763_805_600_000_000_000,
                part,
                {"log.offset": offsets},
                {"log.file.path": b'"/logs/model.log"'},
                counts,
            )
        )
    return made


def measure(lines: list[bytes], size: int, parser: Parser | None = None) -> dict[str, float]:
    """Best microseconds per record of each step."""
    best: dict[str, float] = {}
    normaliser = Normaliser(NormaliseSettings(), parser)
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    strict = lines[0].startswith(b"{") and b"NaN" not in lines[0]
    for _ in range(ROUNDS):
        spent = dict.fromkeys(("decode alone", "normalise", "enrich", "render"), 0.0)
        for number, batch in enumerate(_batches(lines, size)):
            marks = [time.perf_counter()]
            if strict:
                list(map(decode, batch.lines))
            marks.append(time.perf_counter())
            normaliser(batch)
            marks.append(time.perf_counter())
            enrich(batch, IDENTITY)
            marks.append(time.perf_counter())
            render(batch, "019ab2c4d5e60123456789abcdef", number)
            marks.append(time.perf_counter())
            for step, begin, end in zip(spent, marks, marks[1:], strict=False):
                spent[step] += end - begin
        if not strict:
            del spent["decode alone"]
        for step, seconds in spent.items():
            micros = seconds / len(lines) * 1e6
            best[step] = min(best.get(step, micros), micros)
    return best


def main() -> None:
    """Print the table."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 640
    kinds: dict[str, tuple[list[bytes], Parser | None]] = {kind: (lines, None) for kind, lines in _kinds().items()}
    kinds |= _parsed_kinds()
    gc.freeze()
    print(f"batches of {size} records; microseconds per record, best of {ROUNDS}")
    for kind, (lines, parser) in kinds.items():
        best = measure(lines, size, parser)
        ours = best["normalise"] + best["enrich"] + best["render"]
        steps = "  ".join(f"{step} {micros:5.2f}" for step, micros in best.items())
        print(f"{kind:25} {sum(map(len, lines)) / len(lines):4.0f} B  {steps}  all three {ours:5.2f}")


if __name__ == "__main__":
    main()
