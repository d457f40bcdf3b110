"""The life of the agent: from a configuration to a running agent, and to its end.

Order of life: queue, outputs, delivery, status, inputs; and back. Outputs start before inputs and stop after them, so
that what is read on the way down can still be sent.
"""

import asyncio
import contextlib
import sys
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop

from agent import memory, notify, signals
from agent.components import form_for, make_input, make_output, make_when, processors_for
from agent.config.root import AgentConfig
from agent.delivery.contract import Output
from agent.delivery.dead_letters.later import DeadLettersLater, keep_in_bounds
from agent.delivery.loop import DeliveryLoop
from agent.errors import ModeltailError, Retryable, SendError
from agent.inputs.contract import Input, Stop
from agent.inputs.exec.config import ExecConfig
from agent.log import Log
from agent.outputs import OutputConfig
from agent.pipeline import Pipeline
from agent.queue.cursor import decode_cursor
from agent.queue.queue import Queue, open_queue
from agent.record import RunId
from agent.status.server import serve_status
from agent.status.view import CountsStored, ShowsProgress, View
from agent.stopping import Ending, Shutdown

if TYPE_CHECKING:
    from agent.inputs.exec.child import Child

IDLE_POLL_SECS = 0.5
"""How often the inputs of a job are asked whether anything more is to be expected."""
LOAD_RETRY_SECS = 1.0
LAST_SYNC_SECS = 1.0
"""How long the outputs wait, at the end, for what was read last."""

_log = Log("agent")


def run(config: AgentConfig, *, quiet_secs: float | None = None, child: "Child | None" = None) -> int:
    """Run the agent until a signal, or until every input has ended; with ``quiet_secs`` also until the writers are
    gone, or have been quiet that long, and all is delivered; with ``child`` until that has ended. Returns the exit
    status; the process is expected to end with it."""
    memory.tune_allocator()
    failures: list[str] = []
    try:
        uvloop.run(_run_until_signal(config, quiet_secs, child))
    except* ModeltailError as group:
        failures = [str(error) for error in _leaves(group)]
    signals.ignore()
    for failure in failures:
        print(f"modeltail: {failure}", file=sys.stderr)
    if child is not None and (child.was_started or not failures):
        return child.exit_status
    return 1 if failures else 0


async def _run_until_signal(config: AgentConfig, quiet_secs: float | None, child: "Child | None") -> None:
    shutdown = Shutdown()
    loop = asyncio.get_running_loop()
    ending = Ending(shutdown, config.grace, with_model=child is not None)
    if child is None:
        for signum in signals.STOP_SIGNALS:
            loop.add_signal_handler(signum, shutdown.ask)
        signals.let_through()
    else:
        child.when_asked(partial(loop.call_soon_threadsafe, _ask, shutdown, child))
        child.when_ended(partial(loop.call_soon_threadsafe, shutdown.begin))
        ending.status = lambda: child.exit_status
    leaving = asyncio.create_task(ending.leave_by(), name="leave")
    await serve(config, shutdown, ending, quiet_secs, child)
    leaving.cancel()


def _ask(shutdown: Shutdown, child: "Child") -> None:
    """Ask to stop. As long as the model is still heard, asking again is for the model alone: what is in its pipe waits
    nowhere else."""
    if child.heard:
        shutdown.ask()
    else:
        shutdown.begin()


async def serve(
    config: AgentConfig,
    shutdown: Shutdown,
    ending: Ending,
    quiet_secs: float | None = None,
    child: "Child | None" = None,
) -> None:
    """Run the agent until ``shutdown`` is asked or there is nothing more to do, then drain within the grace period."""
    serving = asyncio.create_task(_serve(config, shutdown, ending, quiet_secs, child), name="agent")
    closing = asyncio.create_task(ending.close_by(), name="close")
    await asyncio.wait((serving, closing), return_when=asyncio.FIRST_COMPLETED)
    closing.cancel()
    if not serving.done():
        serving.cancel()
        await asyncio.wait((serving,))
    ending.say()
    if not serving.cancelled():
        serving.result()


async def _serve(
    config: AgentConfig, shutdown: Shutdown, ending: Ending, quiet_secs: float | None, child: "Child | None"
) -> None:
    run_id = RunId().text
    # Outputs are entered after the queue, whose lock keeps a second agent from their files, and left after it: while
    # closing, the queue may still ask them to make something durable.
    async with (
        contextlib.AsyncExitStack() as outputs,
        open_queue(config.queue, run_id) as queue,
        contextlib.AsyncExitStack() as stack,
    ):
        names = [component.id for component in config.outputs]
        ending.queued = lambda: {n: c.behind(queue.total) for n, c in queue.cursors.items() if n in names}
        loops: dict[str, DeliveryLoop] = {}
        stores: dict[str, CountsStored] = {}
        for component in config.outputs:
            output = await outputs.enter_async_context(make_output(component))
            loop = await _deliver_to(output, component, queue, config, shutdown)
            if loop is None:
                return
            loops[component.id] = loop
            if isinstance(output, CountsStored):
                stores[component.id] = output
        for name in set(queue.cursors) - set(loops):
            _log.warning(
                "An output that is not configured any more holds its records back; see `modeltail queue forget`",
                output=name,
            )
        view = View(queue, loops, run_id)
        view.stores = stores
        if config.status.enabled:
            await stack.enter_async_context(serve_status(config.status, view))
        inputs = [(i, make_input(i, queue.positions(i.id), child)) for i in config.inputs]
        view.inputs = {i.id: component for i, component in inputs if isinstance(component, ShowsProgress)}
        pipeline = Pipeline(queue, run_id, form_for(config.outputs))
        stop, model_stop = Stop(), Stop()
        async with asyncio.TaskGroup() as tasks:
            delivering = [tasks.create_task(loop.run(), name=f"deliver:{name}") for name, loop in loops.items()]
            reading = [
                tasks.create_task(
                    component.run(
                        pipeline.emit_through(processors_for(config, i), i.on_full),
                        model_stop if isinstance(i, ExecConfig) else stop,
                    ),
                    name=f"read:{i.id}",
                )
                for i, component in inputs
            ]
            # What the model writes on its way out, into its files too, is still to be read.
            models = [task for (i, _), task in zip(inputs, reading, strict=True) if isinstance(i, ExecConfig)]
            watching = tasks.create_task(_watch(view), name="watchdog")
            expiring = tasks.create_task(keep_in_bounds(config.queue.path, config.dead_letters), name="dead-letters")
            memory.tune_collector()
            view.ready = True
            notify.notify("READY=1")
            _log.info("Ready", inputs=[i.id for i in config.inputs], outputs=list(loops), queue=str(config.queue.path))
            if quiet_secs is None:
                await _or_asked(shutdown, asyncio.wait(models or reading))
            else:
                job = _until_idle([component for _, component in inputs], reading, stop, loops, quiet_secs)
                await _or_asked(shutdown, job)
            shutdown.begin()
            view.stopping = True
            notify.notify("STOPPING=1")
            model_stop.ask()
            await ending.model(models)
            stop.ask()
            await ending.inputs(reading)
            # What was read last is not yet synced, so no output has been shown it. A disk that hangs is not waited for.
            syncing = tasks.create_task(queue.sync(), name="sync")
            await asyncio.wait((syncing,), timeout=LAST_SYNC_SECS)
            for loop in loops.values():
                loop.finish()
            await ending.outputs(delivering)
            for task in (syncing, watching, expiring):
                task.cancel()


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


async def _or_asked(shutdown: Shutdown, waiting: Coroutine[Any, Any, object]) -> None:
    """Wait for this, or until asked to stop."""
    asked = asyncio.create_task(shutdown.drain.wait())
    done = asyncio.create_task(waiting)
    try:
        await asyncio.wait((asked, done), return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            done.result()
    finally:
        asked.cancel()
        done.cancel()


async def _until_idle(
    inputs: Sequence[Input],
    reading: Sequence[asyncio.Task[None]],
    stop: Stop,
    loops: Mapping[str, DeliveryLoop],
    quiet_secs: float,
) -> None:
    """The end of a job: wait until no input expects anything more and all is delivered, end the inputs, and wait for
    what their last look brought. A dead output keeps it waiting, for as long as it is dead."""
    while True:
        while not await _are_idle(inputs, reading, quiet_secs):
            await stop.wait(IDLE_POLL_SECS)
        if not _queued(loops):
            break
        await _until_delivered(loops)
    _log.info("Nothing more is to be expected of the inputs; ending")
    stop.ask()
    await asyncio.wait(reading)
    await _until_delivered(loops)


async def _until_delivered(loops: Mapping[str, DeliveryLoop]) -> None:
    """Nothing more is expected, so nothing waits for company."""
    while queued := _queued(loops):  # cursors move without telling
        for loop in queued:
            loop.hurry()
        await asyncio.sleep(IDLE_POLL_SECS)


def _queued(loops: Mapping[str, DeliveryLoop]) -> list[DeliveryLoop]:
    """Those that have not delivered all."""
    return [loop for loop in loops.values() if loop.subscription.queued]


async def _are_idle(inputs: Sequence[Input], reading: Sequence[asyncio.Task[None]], quiet_secs: float) -> bool:
    """Whether none is busy, and one at least has begun: another may have been given nothing to read in this job."""
    pairs = zip(inputs, reading, strict=True)
    found = ["idle" if task.done() else await component.activity(quiet_secs) for component, task in pairs]
    return "busy" not in found and "idle" in found


async def _watch(view: View) -> None:
    """Feed systemd's watchdog as long as the agent is healthy."""
    interval = notify.watchdog_interval_secs()
    while interval is not None:
        if not view.health().problems:
            notify.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


async def _deliver_to(
    output: Output, config: OutputConfig, queue: Queue, root: AgentConfig, shutdown: Shutdown
) -> DeliveryLoop | None:
    """The output's delivery loop; None when asked to stop before the output could say how far it came."""
    load = getattr(output, "load_cursor", None)
    stored = None
    while load is not None:
        try:
            stored = await load()
            break
        except Retryable as trouble:  # without its cursor records could be stored twice
            _log.error("An output cannot say how far it came; trying again", output=config.id, error=str(trouble))
        if await shutdown.wait_drain(LOAD_RETRY_SECS):
            return None
    subscription = queue.subscribe(
        config.id,
        from_oldest=config.start == "oldest",
        own_cursor=decode_cursor(stored) if stored is not None else None,
        max_lag=config.delivery.max_lag,
    )
    subscription.before_trim = getattr(output, "make_durable", None)
    dead_letters = DeadLettersLater(root.queue.path, config.id, root.dead_letters)
    return DeliveryLoop(output, queue, subscription, config.delivery, dead_letters, make_when(config))


def _leaves(group: BaseExceptionGroup[ModeltailError]) -> Iterable[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
