"""A model behind a real web server: ``uvicorn tests.e2e.asgi_model:app``. Answers what its path ends with."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Message = Mapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer one request with the status its path ends with, 200 if with none."""
    if scope["type"] != "http":
        raise RuntimeError("only requests are answered")
    last = scope["path"].rpartition("/")[2]
    status = int(last) if last.isdigit() else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
