"""A server that takes documents by POST or PUT: NDJSON or a JSON array. A poisoned record makes it refuse the whole."""

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web

from tests.fakes.receiver import Receiver, Request, id_of, serve


class Webhook(Receiver):
    """Keeps documents byte for byte (of an array, its members as they stand in their lines)."""

    def answer(self, request: Request) -> web.Response:
        """200 if all are taken, 400 if one is poisoned or the body is not what its type says."""
        if request.method not in ("POST", "PUT"):
            return web.Response(status=405)
        try:
            documents = documents_of(request)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        records = [(id_of(document), document) for document in documents]
        if poisoned := [record for record, _ in records if record in self.poisoned]:
            return web.Response(status=422, text=f"no good: {poisoned[0]}")
        self.keep(records)
        return web.Response(text="thank you")


def documents_of(request: Request) -> list[bytes]:
    """The documents of a body. Raises ``ValueError``."""
    body = request.body
    if request.headers["content-type"] == "application/x-ndjson":
        if not body.endswith(b"\n"):
            raise ValueError("the last line is not ended")
        documents = body.split(b"\n")[:-1]
    else:
        whole = json.loads(body)
        documents = body[1:-1].split(b",\n")
        if [json.loads(document) for document in documents] != whole:
            raise ValueError("not an array of one document a line")
    for document in documents:
        json.loads(document)
    return documents


if __name__ == "__main__":
    asyncio.run(serve(Webhook(port=int(sys.argv[1]), file=Path(sys.argv[2]))))
