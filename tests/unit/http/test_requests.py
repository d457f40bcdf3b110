"""What a request is answered, on a real socket."""

import asyncio
import gzip
import json
import logging
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
import zstandard

from agent.inputs.http.config import HttpConfig
from agent.inputs.http.input import HttpInput
from tests.unit.http.serving import Running, parse, request, running, until

OBJECT = b'{"n": 1.10}'
WORD = "open-sesame"
Scenario = Callable[[Running], Coroutine[Any, Any, None]]


def serve(folder: Path, scenario: Scenario, **settings: Any) -> None:
    """Run a scenario with an input of these settings."""

    async def main() -> None:
        path = folder / "http.sock"
        config = HttpConfig(**{"id": "in", "listen": f"unix:{path}", **settings})
        async with running(HttpInput(config), path) as it:
            await scenario(it)

    uvloop.run(main())


def test_an_object_is_a_record(tmp_path: Path) -> None:
    """Answered with how many were accepted, once it is in the queue."""

    async def scenario(it: Running) -> None:
        answer = await it.ask(request(OBJECT))
        assert (answer.status, answer.body) == (200, b'{"accepted":1}')
        assert it.queue.lines == [OBJECT]
        assert it.queue.batches[0].counts.bytes == len(OBJECT)

    serve(tmp_path, scenario)


def test_good_lines_are_taken_and_bad_ones_named(tmp_path: Path) -> None:
    """The answer is 400, says how many are in, and which are not; those count as refused, not as accepted."""

    async def scenario(it: Running) -> None:
        answer = await it.ask(request(b'{"a":1}\nnonsense\n{"a":2}\n[3]\n', "application/x-ndjson"))
        assert answer.status == 400
        said = json.loads(answer.body)
        assert (said["accepted"], said["refused"], [e["line"] for e in said["errors"]]) == (2, 2, [2, 4])
        assert it.queue.lines == [b'{"a":1}', b'{"a":2}']
        await it.ask(request(OBJECT))
        assert it.queue.noted("refused") == 2
        assert sum(batch.counts.accepted for batch in it.queue.batches) == 3

    serve(tmp_path, scenario)


def test_refuse_all_takes_nothing_of_a_body_with_a_bad_line(tmp_path: Path) -> None:
    """Whole or not at all, where the operator says so."""

    async def scenario(it: Running) -> None:
        answer = await it.ask(request(b'{"a":1}\n' * 5000 + b"nonsense\n", "application/x-ndjson"))
        assert (answer.status, json.loads(answer.body)["accepted"]) == (400, 0)
        assert it.queue.batches == []

    serve(tmp_path, scenario, on_bad_line="refuse_all")


def test_what_was_refused_is_noted_at_the_end_if_nothing_else_comes(tmp_path: Path) -> None:
    """The note goes with the next batch, or with a last one that has no lines."""

    async def main() -> None:
        path = tmp_path / "http.sock"
        async with running(HttpInput(HttpConfig(id="in", listen=f"unix:{path}")), path) as it:
            await it.ask(request(b"nonsense"))
            assert it.queue.batches == []
        assert (it.queue.lines, it.queue.noted("refused")) == ([], 1)

    uvloop.run(main())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(OBJECT, path="/elsewhere"), 404),
        (request(b"", None, method="GET"), 405),
        (request(OBJECT, method="PUT"), 405),
        (request(OBJECT, "image/png"), 415),
        (request(OBJECT, "application/json; charset=utf-16"), 415),
        (request(OBJECT, Content_Encoding="br"), 415),
        (request(b"x" * 2000), 413),
        (
            request(b"", Transfer_Encoding="chunked", Content_Length="") + b"800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n",
            413,
        ),
        (request(gzip.compress(b"x" * 2000), Content_Encoding="gzip"), 413),
        (request(zlib.compress(b"x" * 2000), Content_Encoding="deflate"), 413),
        (request(zstandard.compress(b"x" * 2000), Content_Encoding="zstd"), 413),
        (request(gzip.compress(OBJECT)[:-9], Content_Encoding="gzip"), 400),
        (request(zstandard.compress(OBJECT)[:-3], Content_Encoding="zstd"), 400),
        (request(OBJECT, Content_Encoding="gzip"), 400),
        (request(b"", Transfer_Encoding="chunked", Content_Length="") + b"zz\r\n", 400),
    ],
)
def test_what_cannot_be_taken_is_refused(asked: bytes, status: int, tmp_path: Path) -> None:
    """Each with its status, and nothing in the queue."""

    async def scenario(it: Running) -> None:
        assert (await it.ask(asked)).status == status
        assert it.queue.batches == []

    serve(tmp_path, scenario, max_body=1024, max_line=1024)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(OBJECT)),
        ("x-gzip", gzip.compress(OBJECT[:4]) + gzip.compress(OBJECT[4:])),
        ("deflate", zlib.compress(OBJECT)),
        ("deflate", zlib.compress(OBJECT)[2:-4]),
        ("zstd", zstandard.compress(OBJECT)),
        ("zstd", zstandard.compress(OBJECT[:4]) + zstandard.compress(OBJECT[4:])),
        ("identity", OBJECT),
    ],
)
def test_compressed_bodies_are_expanded(encoding: str, body: bytes, tmp_path: Path) -> None:
    """Several members in a row, and deflate with and without its header, included."""

    async def scenario(it: Running) -> None:
        assert (await it.ask(request(body, Content_Encoding=encoding))).status == 200
        assert it.queue.lines == [OBJECT]

    serve(tmp_path, scenario)


def test_expect_100_continue_is_answered_before_the_body(tmp_path: Path) -> None:
    """curl waits for it before it sends a large body."""

    async def scenario(it: Running) -> None:
        reader, writer = await asyncio.open_unix_connection(it.path)
        head, _, body = request(OBJECT, Expect="100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        answer = parse(await reader.read())
        assert answer is not None
        assert answer.status == 200
        writer.close()

    serve(tmp_path, scenario)


def test_the_request_id_is_echoed(tmp_path: Path) -> None:
    """On refusals too, unless it is none that could go into a header."""

    async def scenario(it: Running) -> None:
        assert (await it.ask(request(OBJECT, X_Request_Id="r-1"))).headers["X-Request-Id"] == "r-1"
        assert (await it.ask(request(OBJECT, path="/no", X_Request_Id="r-2"))).headers["X-Request-Id"] == "r-2"
        assert "X-Request-Id" not in (await it.ask(request(OBJECT, X_Request_Id="x" * 500))).headers

    serve(tmp_path, scenario)


def test_a_token_opens_and_nothing_else_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the right nor the wrong one gets into the log."""

    async def scenario(it: Running) -> None:
        for header in ("", "Bearer", "Bearer no", "Basic open-sesame", "open-sesame", "Bearer open-sesame\u00ff"):
            answer = await it.ask(request(OBJECT, Authorization=header))
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert it.queue.batches == []
        assert (await it.ask(request(OBJECT, Authorization="bearer open-sesame"))).status == 200

    with caplog.at_level(logging.DEBUG):
        serve(tmp_path, scenario, token=WORD)
    assert WORD not in "".join(str(record.__dict__) for record in caplog.records)


def test_a_full_queue_is_answered_429_and_has_nothing_of_it(tmp_path: Path) -> None:
    """After waiting for a while; when there is room again the same request is taken."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        first, second = await asyncio.gather(it.ask(request(OBJECT)), it.ask(request(OBJECT)))
        for answer in (first, second):
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0
        it.queue.drain()
        assert (await it.ask(request(b'{"n":2}'))).status == 200
        assert it.queue.lines == [b'{"n":2}']

    serve(tmp_path, scenario, full_wait=0.02)


def test_a_request_that_is_partly_in_the_queue_is_not_answered_429(tmp_path: Path) -> None:
    """It waits for the rest, however long that takes: nobody could say how much of it to send again."""

    async def scenario(it: Running) -> None:
        class Filling(list[Any]):
            def append(self, batch: Any) -> None:
                super().append(batch)
                if len(self) == 1:
                    it.queue.fill()

        it.queue.batches = Filling()
        asking = asyncio.create_task(it.ask(request(b'{"n":1}\n' * 10_000, "application/x-ndjson")))
        await until(lambda: it.queue.offered == 2)
        other = await it.ask(request(OBJECT))
        assert other.status == 429
        assert not asking.done()
        it.queue.drain()
        answer = await asking
        assert (answer.status, answer.body) == (200, b'{"accepted":10000}')
        assert it.queue.lines == [b'{"n":1}'] * 10_000

    serve(tmp_path, scenario, full_wait=0.02)


def test_requests_that_arrive_together_share_a_batch(tmp_path: Path) -> None:
    """While one batch is on its way, the next collects; each is answered when it is in."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        asking = [asyncio.create_task(it.ask(request(b'{"n":%d}' % n))) for n in range(50)]
        await until(lambda: it.queue.offered == 1)
        for _ in range(50):
            await asyncio.sleep(0.001)
        it.queue.drain()
        assert {(await each).status for each in asking} == {200}
        assert sorted(it.queue.lines) == sorted(b'{"n":%d}' % n for n in range(50))
        assert len(it.queue.batches) < 25

    serve(tmp_path, scenario)


def test_a_client_that_goes_away_leaves_its_records(tmp_path: Path) -> None:
    """They may get in, and count as accepted."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        _, writer = await asyncio.open_unix_connection(it.path)
        writer.write(request(OBJECT))
        await until(lambda: it.queue.offered)
        writer.transport.abort()
        it.queue.drain()
        await until(lambda: it.queue.lines == [OBJECT])

    serve(tmp_path, scenario)


def test_who_comes_while_it_stops_is_told_to_come_again(tmp_path: Path) -> None:
    """And what is under way is finished first."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        asking = asyncio.create_task(it.ask(request(OBJECT)))
        await until(lambda: it.queue.offered)
        it.stop.ask()
        late = await it.ask(request(OBJECT, close=False))
        assert (late.status, late.headers["Retry-After"], late.headers["Connection"]) == (503, "5", "close")
        it.queue.drain()
        assert (await asking).status == 200
        await it.task
        assert it.queue.lines == [OBJECT]

    serve(tmp_path, scenario)


def test_a_body_that_does_not_come_is_answered_408(tmp_path: Path) -> None:
    """Slowly sent bodies hold no connection for long."""

    async def scenario(it: Running) -> None:
        head, _, _ = request(OBJECT).partition(OBJECT)
        assert (await it.ask(head + OBJECT[:3])).status == 408
        assert it.queue.batches == []

    serve(tmp_path, scenario, read_timeout=0.05)


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nX-Slow"], ids=["nothing", "half a header"])
def test_a_header_that_does_not_come_ends_the_connection(sent: bytes, tmp_path: Path) -> None:
    """Neither silent connections nor slow headers are kept."""

    async def scenario(it: Running) -> None:
        assert await it.send(sent) == b""

    serve(tmp_path, scenario, idle_timeout=0.05)


def test_one_connection_too_many_is_turned_away(tmp_path: Path) -> None:
    """With an answer; when one has gone there is room again."""

    async def scenario(it: Running) -> None:
        _, first = await asyncio.open_unix_connection(it.path)
        assert (await it.ask(request(OBJECT))).status == 503
        first.close()
        await first.wait_closed()
        answer = await it.ask(request(OBJECT))
        while answer.status == 503:
            answer = await it.ask(request(OBJECT))
        assert answer.status == 200

    serve(tmp_path, scenario, max_connections=1)


def test_bodies_beyond_what_may_be_held_are_answered_429(tmp_path: Path) -> None:
    """Over all requests; what one has given back the next may take."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        large = b'{"a":"%s"}' % (b"x" * 30_000)
        asking = asyncio.create_task(it.ask(request(large)))
        await until(lambda: it.queue.offered)
        assert (await it.ask(request(large))).status == 429
        it.queue.drain()
        assert (await asking).status == 200
        assert (await it.ask(request(large))).status == 200

    serve(tmp_path, scenario, max_body=65536, max_held=80_000)


def test_connections_are_kept_for_the_next_request(tmp_path: Path) -> None:
    """Also after a refusal, and for requests sent without waiting."""

    async def scenario(it: Running) -> None:
        both = request(b"nonsense", close=False) + request(b'{"n":1}', close=False) + request(b'{"n":2}')
        answers = await it.send(both)
        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert answers.count(b"HTTP/1.1 400 ") == 1
        assert it.queue.lines == [b'{"n":1}', b'{"n":2}']

    serve(tmp_path, scenario)


def test_is_busy_while_somebody_is_connected(tmp_path: Path) -> None:
    """And idle when nobody is, and nothing has come for a while."""

    async def main() -> None:
        path = tmp_path / "http.sock"
        made = HttpInput(HttpConfig(id="in", listen=f"unix:{path}"))
        async with running(made, path) as it:
            assert await made.activity(0) == "unseen"
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(request(OBJECT, close=False))
            await reader.readuntil(b'{"accepted":1}')
            assert await made.activity(0) == "busy"
            writer.close()
            async with asyncio.timeout(20):
                while await made.activity(0) != "idle":
                    await asyncio.sleep(0.001)
            assert await made.activity(3600) == "busy"
            assert it.queue.lines == [OBJECT]

    uvloop.run(main())
