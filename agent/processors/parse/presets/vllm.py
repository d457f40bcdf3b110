"""vLLM: ``INFO 11-22 10:00:00 [file.py:7] message``, with ``(process pid=…)`` before it in newer versions.

``vllm/logger.py`` (in older versions without the first bracket), the request logger under ``vllm/entrypoints``,
``vllm/v1/engine/async_llm.py`` (requests), ``vllm/engine/metrics.py``, ``vllm/v1/metrics/loggers.py`` and
``vllm/v1/spec_decode/metrics.py`` (throughput). The times have no year. uvicorn's lines stand between, in some versions
with the same process before them.
"""

from typing import Final

from agent.processors.parse.presets.pieces import LEVEL, NUMBER, REST, UVICORN_ACCESS, UVICORN_LEVEL
from agent.processors.parse.presets.preset import Preset, form

_PROCESS: Final = (
    r"(?:\((?P<process>[\w-]{1,64}(?: [A-Z]{2}\d{1,4}){0,4}) "
    r"(?:rank=\d{1,6} )?pid=(?P<pid>\d{1,10})(?:, ip=[\d.]{1,15})?\) )?"
)
_REQUEST: Final = r"(?P<request_id>[^\s:,]{1,256}?)"
_GENERATED: Final = rf"Generated response {_REQUEST}(?: \(streaming complete\))?"
_THROUGHPUT: Final = (
    r"(?:Engine (?P<engine>\d{1,6}): )?"
    rf"Avg prompt throughput: (?P<metric_prompt_tokens_per_second>{NUMBER}) tokens/s, "
    rf"Avg generation throughput: (?P<metric_generation_tokens_per_second>{NUMBER}) tokens/s, "
    rf"Running: (?P<metric_running_requests>{NUMBER}) reqs, "
    rf"(?:Swapped: (?P<metric_swapped_requests>{NUMBER}) reqs, )?"
    rf"(?:(?:Pending|Waiting): (?P<metric_waiting_requests>{NUMBER}) reqs, )?"
    rf"(?:Deferred: (?P<metric_deferred_requests>{NUMBER}) reqs, )?"
    r"(?:KV fetch: [\w ,]{1,128}?, )?"
    rf"(?:Preemptions: (?P<metric_preemptions>{NUMBER}), )?"
    rf"[A-Z]{{2,8}} (?:KV )?cache usage: (?P<metric_kv_cache_usage_percent>{NUMBER})%"
    rf"(?:, CPU (?:KV )?cache usage: (?P<metric_cpu_kv_cache_usage_percent>{NUMBER})%)?"
    rf"(?:, Prefix cache hit rate: (?:GPU: )?(?P<metric_prefix_cache_hit_rate_percent>{NUMBER})%)?"
    rf"(?:, Corrupted: (?P<metric_corrupted_requests>{NUMBER}) reqs)?"
    rf"(?:, External prefix cache hit rate: (?P<metric_external_prefix_cache_hit_rate_percent>{NUMBER})%)?"
    rf"(?:, MM cache hit rate: (?P<metric_mm_cache_hit_rate_percent>{NUMBER})%)?"
    r".{0,512}"
)
_SPECULATION: Final = (
    rf"SpecDecoding metrics: Mean acceptance length: (?P<metric_mean_acceptance_length>{NUMBER}), "
    rf"Accepted throughput: (?P<metric_accepted_tokens_per_second>{NUMBER}) tokens/s, "
    rf"Drafted throughput: (?P<metric_drafted_tokens_per_second>{NUMBER}) tokens/s, "
    rf".{{0,512}}Avg Draft acceptance rate: (?P<metric_draft_acceptance_rate_percent>{NUMBER})%.{{0,512}}"
)

PRESET: Final = Preset(
    lines=(
        form(
            rf"{_PROCESS}{LEVEL} (?P<time_yearless>\d\d-\d\d \d\d:\d\d:\d\d) "
            rf"\[?(?P<file>[^\s:\]]{{1,256}}):(?P<lineno>\d{{1,9}})\] {REST}"
        ),
        form(rf"{_PROCESS}{UVICORN_LEVEL}{UVICORN_ACCESS}", logger="uvicorn.access"),
        form(rf"{_PROCESS}{UVICORN_LEVEL}{REST}", logger="uvicorn.error"),
    ),
    within={
        "message": (
            form(rf"Received request {_REQUEST}: .*", event_action="request_received"),
            form(rf"(?:Async: )?Added request {_REQUEST}\.?", event_action="request_added"),
            form(rf"(?:Async: )?Finished request {_REQUEST}\.?", event_action="request_finished"),
            form(rf"(?:Async: )?Aborted request(?:\(s\))? {_REQUEST}\.?", event_action="request_aborted"),
            form(r"Aborted request\(s\) .*", event_action="request_aborted"),
            form(rf"Request {_REQUEST} aborted\.?", event_action="request_aborted"),
            form(rf"Request {_REQUEST} failed\b.*", event_action="request_failed"),
            form(rf"Request {_REQUEST} (?:details|JSON body): .*"),
            form(
                rf"{_GENERATED}: .*, finish_reason: (?:None|(?P<finish_reason>[\w-]{{1,64}}))",
                event_action="request_finished",
            ),
            form(rf"{_GENERATED}(?: \(streaming delta\))?(?: details)?: .*"),
            form(_THROUGHPUT),
            form(_SPECULATION),
        ),
    },
)
