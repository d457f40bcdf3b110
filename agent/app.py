"""The composition root: from a configuration to a running agent. The only module that knows every concrete type.

Order of life: queue, outputs, delivery, status, inputs; and back. Outputs start before inputs and stop after them, so
that what is read on the way down can still be sent.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import uvloop

from agent import memory, notify
from agent.config.root import AgentConfig
from agent.delivery.contract import Output
from agent.delivery.dead_letters import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.errors import ModeltailError, Retryable, SendError
from agent.host import host
from agent.inputs import InputConfig
from agent.inputs.contract import Input, Stop
from agent.inputs.file.config import FileConfig
from agent.inputs.stdin.config import StdinConfig
from agent.log import Log
from agent.model import identity
from agent.outputs import OutputConfig
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.local.config import LocalConfig
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.stdout.config import StdoutConfig
from agent.pipeline import Pipeline, Processor
from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser, NormaliseSettings
from agent.queue.cursor import decode_cursor
from agent.queue.queue import Queue, open_queue
from agent.record import RunId
from agent.status.server import serve_status
from agent.status.view import View

_log = Log("agent")

INPUT_SHARE = 0.4
"""The part of the grace period that inputs may spend reading until their sources are quiet."""
CLOSING_SECS = 1.0
"""The part of it kept for closing files."""


class Shutdown:
    """The question "should we stop?", asked from outside: once to drain, twice to end at once."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()

    def ask(self) -> None:
        """Ask to drain; asking again ends at once."""
        (self.now if self.drain.is_set() else self.drain).set()


def make_input(config: InputConfig, positions: Mapping[str, bytes]) -> Input:
    """The input of this configuration. Imports what it needs, and only that."""
    match config:
        case FileConfig():
            from agent.inputs.file.input import FileInput

            return FileInput(config, positions)
        case StdinConfig():
            from agent.inputs.stdin.input import StdinInput

            return StdinInput(config)


def make_output(config: OutputConfig) -> Output:
    """The output of this configuration. Imports what it needs, and only that."""
    match config:
        case ElasticsearchConfig():
            from agent.outputs.elasticsearch.output import ElasticsearchOutput

            return ElasticsearchOutput(config)
        case LocalConfig():
            from agent.outputs.local.output import LocalOutput

            return LocalOutput(config)
        case NdjsonConfig():
            from agent.outputs.ndjson.output import NdjsonOutput

            return NdjsonOutput(config)
        case StdoutConfig():
            from agent.outputs.stdout.output import StdoutOutput

            return StdoutOutput(config)


def processors_for(config: AgentConfig, component: InputConfig) -> list[Processor]:
    """What happens to the batches of this input on their way to the queue."""
    normaliser = Normaliser(
        NormaliseSettings(
            timezone=component.timezone,
            dataset=component.dataset or config.dataset,
            namespace=component.namespace or config.namespace,
        )
    )
    who = {**host(), **identity(config.model, config.environment, {**config.labels, **component.labels})}
    return [normaliser, partial(enrich, identity=who)]


def run(config: AgentConfig) -> int:
    """Run the agent until a signal, or until every input has ended. Returns the exit status."""
    memory.tune_allocator()
    failures: list[str] = []
    try:
        uvloop.run(_run_until_signal(config))
    except* ModeltailError as group:
        failures = [str(error) for error in _leaves(group)]
    for failure in failures:
        print(f"modeltail: {failure}", file=sys.stderr)
    return 1 if failures else 0


async def _run_until_signal(config: AgentConfig) -> None:
    shutdown = Shutdown()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, shutdown.ask)
    await serve(config, shutdown)


async def serve(config: AgentConfig, shutdown: Shutdown) -> None:
    """Run the agent until ``shutdown`` is asked or every input has ended, then drain within the grace period."""
    serving = asyncio.create_task(_serve(config, shutdown), name="agent")
    at_once = asyncio.create_task(shutdown.now.wait(), name="second-signal")
    await asyncio.wait((serving, at_once), return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        _log.warning("Ending at once; what is in the queue is delivered after the next start")
        serving.cancel()
        await asyncio.wait((serving,))
    at_once.cancel()
    if not serving.cancelled():
        serving.result()


async def _serve(config: AgentConfig, shutdown: Shutdown) -> None:
    run_id = RunId().text
    # Outputs are entered after the queue, whose lock keeps a second agent from their files, and left after it: while
    # closing, the queue may still ask them to make something durable.
    async with (
        contextlib.AsyncExitStack() as outputs,
        open_queue(config.queue, run_id) as queue,
        contextlib.AsyncExitStack() as stack,
    ):
        loops = {}
        for component in config.outputs:
            output = await outputs.enter_async_context(make_output(component))
            loops[component.id] = await _deliver_to(output, component, queue, config)
        for name in set(queue.cursors) - set(loops):
            _log.warning(
                "An output that is not configured any more holds its records back; see `modeltail queue forget`",
                output=name,
            )
        view = View(queue, loops, run_id)
        if config.status.enabled:
            await stack.enter_async_context(serve_status(config.status, view))
        inputs = [(i, make_input(i, queue.positions(i.id))) for i in config.inputs]
        pipeline = Pipeline(queue, run_id)
        stop = Stop()
        async with asyncio.TaskGroup() as tasks:
            delivering = [tasks.create_task(loop.run(), name=f"deliver:{name}") for name, loop in loops.items()]
            reading = [
                tasks.create_task(
                    component.run(pipeline.emit_through(processors_for(config, i), i.on_full), stop),
                    name=f"read:{i.id}",
                )
                for i, component in inputs
            ]
            watching = tasks.create_task(_watch(view), name="watchdog")
            memory.tune_collector()
            view.ready = True
            notify.notify("READY=1")
            _log.info("Ready", inputs=[i.id for i in config.inputs], outputs=list(loops), queue=str(config.queue.path))
            await _until_asked(shutdown, reading)
            view.stopping = True
            notify.notify("STOPPING=1")
            await _drain(config.grace, stop, reading, loops, delivering)
            watching.cancel()
        _log.info("Stopped", queued={name: loop.subscription.queued for name, loop in loops.items()})


async def check_outputs(config: AgentConfig) -> list[str]:
    """Ask every output whether it can be reached, used, and has what it needs; one sentence per problem."""
    problems = []
    for component in config.outputs:
        async with make_output(component) as output:
            problems += [f"{component.id}: {problem}" for problem in await output.check()]
    return problems


async def setup_outputs(config: AgentConfig) -> list[str]:
    """Install what the outputs need (index templates); returns one sentence per output that could not."""
    problems = []
    for component in config.outputs:
        async with make_output(component) as output:
            install = getattr(output, "setup", None)
            if install is not None:
                try:
                    await install()
                except SendError as error:
                    problems.append(f"{component.id}: {error}")
    return problems


async def _until_asked(shutdown: Shutdown, reading: list[asyncio.Task[None]]) -> None:
    asked = asyncio.create_task(shutdown.drain.wait())
    ended = asyncio.create_task(asyncio.wait(reading))
    await asyncio.wait((asked, ended), return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    ended.cancel()


async def _drain(
    grace_secs: float,
    stop: Stop,
    reading: list[asyncio.Task[None]],
    loops: dict[str, DeliveryLoop],
    delivering: list[asyncio.Task[None]],
) -> None:
    """Read until quiet, then one immediate attempt for each output; whoever is over its budget is cancelled, and
    named."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + max(0.0, grace_secs - CLOSING_SECS)
    stop.ask()
    await _finish_by(clock() + grace_secs * INPUT_SHARE, reading, "An input was still reading when its time was over")
    for loop in loops.values():
        loop.finish()
    await _finish_by(
        deadline, delivering, "An output was still sending when its time was over; the rest stays in the queue"
    )


async def _finish_by(deadline: float, tasks: list[asyncio.Task[None]], sentence: str) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    for task in late:
        _log.warning(sentence, task=task.get_name())
        task.cancel()
    if late:
        await asyncio.wait(late)


async def _watch(view: View) -> None:
    """Feed systemd's watchdog as long as the agent is healthy."""
    interval = notify.watchdog_interval_secs()
    while interval is not None:
        if not view.health().problems:
            notify.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


async def _deliver_to(output: Output, config: OutputConfig, queue: Queue, root: AgentConfig) -> DeliveryLoop:
    load = getattr(output, "load_cursor", None)
    stored = await _load_cursor(config.id, load) if load is not None else None
    subscription = queue.subscribe(
        config.id,
        from_oldest=config.start == "oldest",
        own_cursor=decode_cursor(stored) if stored is not None else None,
        max_lag=config.delivery.max_lag,
    )
    subscription.before_trim = getattr(output, "make_durable", None)
    dead_letters = DeadLetters(root.queue.path / "dead-letters" / config.id, root.dead_letters)
    return DeliveryLoop(output, queue, subscription, config.delivery, dead_letters)


async def _load_cursor(output: str, load: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
    """The output's own cursor. Without it records could be stored twice, so this waits until it can be read."""
    while True:
        try:
            return await load()
        except Retryable as trouble:
            _log.error("An output cannot say how far it came; trying again", output=output, error=str(trouble))
            await asyncio.sleep(1.0)


def _leaves(group: BaseExceptionGroup[ModeltailError]) -> Iterable[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
