"""What is said of a connection to Logstash that does not come about."""

import asyncio
import socket
import ssl
import struct

import pytest

from agent.errors import Retryable
from agent.outputs.logstash.connect import open_to

RESET = struct.pack("ii", 1, 0)


def test_host_that_hangs_up_on_tls_may_have_none() -> None:
    """An input without TLS resets the connection, which says nothing to who forgot the input's setting."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async def story() -> None:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            host = "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
            with pytest.raises(Retryable, match=r"is TLS on there\?$"):
                await open_to(host, asyncio.Protocol, ssl.create_default_context(), 20.0)

    asyncio.run(story())
