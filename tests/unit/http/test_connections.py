"""Where it listens, and whatever comes in there."""

import asyncio
import http.client
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.inputs.contract import Stop
from agent.inputs.http.config import HttpConfig
from agent.inputs.http.input import HttpInput
from agent.inputs.listen import TlsOptions
from agent.inputs.otlp.config import OtlpConfig
from agent.inputs.otlp.input import OtlpInput
from tests.fakes.certificates import make_certificates
from tests.unit.http.serving import FakeQueue, parse, request, running, until

GOOD = {"http": request(b'{"n":1}'), "otlp": request(b'{"resourceLogs":[]}', path="/v1/logs")}

pieces = st.one_of(
    st.sampled_from(
        [
            b"POST / HTTP/1.1\r\n",
            b"POST /v1/logs HTTP/1.1\r\n",
            b"GET / HTTP/1.0\r\n",
            b"Host: x\r\n",
            b"Content-Length: 5\r\n",
            b"Content-Length: 99999999999\r\n",
            b"Content-Length: -1\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Type: application/json\r\n",
            b"Content-Type: application/x-protobuf\r\n",
            b"Content-Type: \xff\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Content-Encoding: zstd\r\n",
            b"Expect: 100-continue\r\n",
            b"Upgrade: websocket\r\nConnection: upgrade\r\n",
            b"X: " + b"y" * 9000 + b"\r\n",
            b"\r\n",
            b"[{}]",
            b"5\r\n[{}] \r\n0\r\n\r\n",
            b"\x1f\x8b\x08\x00",
        ]
    ),
    st.binary(max_size=20),
)


def _input(kind: str, path: Path, **changes: Any) -> HttpInput | OtlpInput:
    options = {"id": "in", "listen": f"unix:{path}", "idle_timeout": 0.05, "read_timeout": 0.05, **changes}
    return HttpInput(HttpConfig(**options)) if kind == "http" else OtlpInput(OtlpConfig(**options))


@pytest.mark.parametrize("kind", ["http", "otlp"])
@settings(max_examples=60)
@given(connections=st.lists(st.lists(pieces, max_size=12).map(b"".join), min_size=1, max_size=8))
def test_any_bytes_are_answered_or_the_connection_ends(
    kind: str, connections: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And afterwards a good request is taken, and the input stops when asked."""

    async def main() -> None:
        path = tmp_path_factory.mktemp("fuzz") / "s"
        async with running(_input(kind, path), path) as it:
            answers = await asyncio.gather(*(it.send(data) for data in connections))
            assert not any(b"HTTP/1.1 500" in answer for answer in answers)
            assert (await it.ask(GOOD[kind])).status == 200

    uvloop.run(main())


async def _listening(made: HttpInput, queue: FakeQueue, stop: Stop, log: pytest.LogCaptureFixture) -> tuple[Any, int]:
    task = asyncio.create_task(made.run(queue.emit, stop))
    await until(lambda: any(record.message == "An input is listening" for record in log.records) or task.done())
    (said,) = [record for record in log.records if record.message == "An input is listening"]
    return task, int(said.__dict__["fields"]["address"].rpartition(":")[2])


def test_tls_with_a_certificate_of_the_client(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who has none of the authority's is not heard; the free port it took is in the log."""
    made = make_certificates(tmp_path)
    tls = TlsOptions(certificate=str(made.chain), key=str(made.key), client_ca=str(made.authority))

    def post(port: int, *, certified: bool) -> int:
        context = ssl.create_default_context(cafile=str(made.authority))
        if certified:
            context.load_cert_chain(made.chain, made.key)
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
        try:
            connection.request("POST", "/", b'{"n":1}')
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    async def main() -> None:
        queue, stop = FakeQueue(), Stop()
        made_input = HttpInput(HttpConfig(id="in", listen="127.0.0.1:0", tls=tls))
        task, port = await _listening(made_input, queue, stop, caplog)
        assert await asyncio.to_thread(post, port, certified=True) == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            await asyncio.to_thread(post, port, certified=False)
        stop.ask()
        await task
        assert queue.lines == [b'{"n":1}']

    caplog.set_level("INFO", logger="modeltail")
    asyncio.run(main())


def test_an_address_that_is_taken_is_a_problem_of_the_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Said with the setting's name."""

    async def main() -> None:
        queue, stop = FakeQueue(), Stop()
        task, port = await _listening(HttpInput(HttpConfig(id="in", listen="127.0.0.1:0")), queue, stop, caplog)
        other = HttpInput(HttpConfig(id="other", listen=f"127.0.0.1:{port}"))
        with pytest.RaisesGroup(pytest.RaisesExc(ConfigError, match=r"inputs\.other\.listen"), flatten_subgroups=True):
            await other.run(queue.emit, Stop())
        stop.ask()
        await task

    caplog.set_level("INFO", logger="modeltail")
    asyncio.run(main())


def test_an_answer_can_be_read_though_the_body_was_not(tmp_path: Path) -> None:
    """A refusal of a body that is too large reaches a client that is still sending it."""

    async def main() -> None:
        path = tmp_path / "s"
        async with running(_input("http", path, max_body=1024, read_timeout=5.0), path) as it:
            answer = parse(await it.send(request(b"x" * 300_000)))
            assert answer is not None
            assert answer.status == 413

    uvloop.run(main())
