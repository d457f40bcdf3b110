"""The status endpoint: four pages over HTTP, on loopback unless configured otherwise."""

import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from agent import __version__
from agent.errors import ConfigError
from agent.log import Log
from agent.status.config import StatusConfig
from agent.status.view import View

_log = Log("status")


@contextlib.asynccontextmanager
async def serve_status(config: StatusConfig, view: View) -> AsyncIterator[str | None]:
    """Serve until the block ends. Gives the address, or None when it is switched off.

    Raises ``ConfigError`` when the address cannot be had.
    """
    if not config.enabled:
        yield None
        return
    runner = web.AppRunner(_application(view), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                [f"status.port: cannot listen on {config.host}:{config.port} ({error.strerror}); choose another, or 0"]
            ) from error
        host, port = runner.addresses[0][:2]
        address = f"http://{host}:{port}"
        _log.info("Status endpoint is listening", address=address)
        yield address
    finally:
        await runner.cleanup()


def _application(view: View) -> web.Application:
    async def index(_: web.Request) -> web.Response:
        return web.json_response({"modeltail": __version__, "pages": ["/healthz", "/readyz", "/metrics", "/ledger"]})

    async def healthz(_: web.Request) -> web.Response:
        problems = view.health().problems
        return web.json_response({"healthy": not problems, "problems": problems}, status=503 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready = view.ready and not view.stopping
        outputs = {
            name: {"trouble": loop.state.trouble, "paused": loop.state.paused, "queued": loop.subscription.queued}
            for name, loop in view.loops.items()
        }
        body = {"ready": ready, "stopping": view.stopping, "queue_trouble": view.queue.trouble, "outputs": outputs}
        return web.json_response(body, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        from agent.status.metrics import exposition  # an agent that nobody scrapes need not load it

        return web.Response(body=exposition(view), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def ledger(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(view.ledger()), content_type="application/json")

    application = web.Application(client_max_size=1024)
    for path, handler in (
        ("/", index), ("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics), ("/ledger", ledger),
    ):  # fmt: skip
        application.router.add_get(path, handler)
    return application
