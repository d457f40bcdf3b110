"""The pages of the status endpoint."""

import json
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from agent import __version__
from agent.status.metrics import exposition
from agent.status.view import View


def pages_of(view: View) -> web.Server:
    """An HTTP server that answers ``GET`` for each page, and nothing else."""

    async def index() -> web.Response:
        return _json({"modeltail": __version__, "pages": sorted(pages)})

    async def healthz() -> web.Response:
        problems = view.health().problems
        return _json({"healthy": not problems, "problems": problems}, 503 if problems else 200)

    async def readyz() -> web.Response:
        ready = view.ready and not view.stopping
        outputs = {
            name: {
                "trouble": loop.state.trouble_at(time.monotonic()),
                "paused": loop.state.paused,
                "queued": loop.subscription.queued,
            }
            for name, loop in view.loops.items()
        }
        body = {"ready": ready, "stopping": view.stopping, "queue_trouble": view.queue.trouble, "outputs": outputs}
        return _json(body, 200 if ready else 503)

    async def metrics() -> web.Response:
        body = exposition(view, await view.ledger())
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def ledger() -> web.Response:
        return web.Response(body=msgspec.json.encode(await view.ledger()), content_type="application/json")

    pages: dict[str, Callable[[], Awaitable[web.Response]]] = {
        "/": index, "/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/ledger": ledger,
    }  # fmt: skip

    async def answer(request: web.BaseRequest) -> web.Response:
        page = pages.get(request.path)
        if page is None:
            return _json({"error": "no such page", "pages": sorted(pages)}, 404)
        if request.method not in ("GET", "HEAD"):
            return _json({"error": "these pages can only be read"}, 405)
        return await page()

    return web.Server(answer, access_log=None, keepalive_timeout=15)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), content_type="application/json", status=status)
