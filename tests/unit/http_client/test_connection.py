"""The HTTP client against servers of every kind of manners, on real sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from agent.errors import CutOff, NoAnswer, Paused, Retryable, SendError
from agent.outputs.http_client import connection as client
from agent.outputs.http_client.connection import Answer, Connection
from tests.fakes.listening import runner_of

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[str]:
    """A server with one answer to everything, at its address."""
    runner = runner_of(handler)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def connected(*addresses: str, **settings: Any) -> Connection:
    """A connection to these addresses."""
    settings = {"tls": None, "proxy": None, "request_timeout_secs": 20.0, "connect_timeout_secs": 5.0, **settings}
    return Connection(addresses, settings.pop("headers", {}), **settings, max_connections=4)


def says(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    """Answers always the same."""

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(text=text, status=status, headers=headers)

    return handler


def play(story: Coroutine[Any, Any, None]) -> None:
    """Run a story."""
    asyncio.run(story)


async def nobody() -> str:
    """An address where nobody listens."""
    async with serving(says("")) as url:
        return url


@pytest.mark.parametrize("status", [200, 201, 204, 400, 404, 429, 500, 503])
def test_an_answer_is_given_back_as_it_is(status: int) -> None:
    """Whatever its status: what it means is for others to say."""

    async def story() -> None:
        async with serving(says("", status, {"X-Some": "Thing"})) as url, connected(url) as to:
            answer = await to.ask("GET", "/")
            assert (answer.status, answer.headers["x-SOME"], answer.body) == (status, "Thing", b"")

    play(story())


def test_hosts_take_turns() -> None:
    """One request each."""

    async def story() -> None:
        async with serving(says("a")) as a, serving(says("b")) as b, connected(a, b) as to:
            assert [(await to.ask("GET", "/")).body for _ in range(4)] == [b"a", b"b", b"a", b"b"]

    play(story())


def test_a_host_that_hangs_does_not_end_up_with_every_request() -> None:
    """Four at a time, for one host that never answers and one that does: at least half of what is on its way goes where
    it is answered, for as long as it takes."""
    held: list[str] = []

    async def never(request: web.BaseRequest) -> web.StreamResponse:
        held.append(request.path)
        await asyncio.Event().wait()
        return web.Response()

    async def story() -> None:
        answered = 0
        enough = asyncio.Event()

        async def ask_on() -> None:
            nonlocal answered
            while True:
                assert (await to.ask("GET", "/")).body == b"well"
                answered += 1
                if answered == 100:
                    enough.set()

        async with (
            asyncio.timeout(20),
            serving(never) as bad,
            serving(says("well")) as good,
            connected(bad, good) as to,
        ):
            asking = [asyncio.create_task(ask_on()) for _ in range(4)]
            await enough.wait()
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
            assert [task.cancelled() for task in asking] == [True] * 4
        assert 1 <= len(held) <= 2

    play(story())


def test_a_dead_host_is_left_out_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request finds out; the others go elsewhere until its time is up."""
    now = 100.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    monkeypatch.setattr(client, "time", Clock)

    async def story() -> None:
        nonlocal now
        dead = await nobody()
        async with serving(says("well")) as well, connected(dead, well) as to:
            with pytest.raises(Retryable) as caught:
                await to.ask("GET", "/")
            assert type(caught.value) is Retryable
            assert [(await to.ask("GET", "/")).body for _ in range(3)] == [b"well"] * 3
            now += 1.0
            async with serving(says("back"), int(dead.rpartition(":")[2])):
                assert {(await to.ask("GET", "/")).body for _ in range(2)} == {b"well", b"back"}

    play(story())


@pytest.mark.parametrize(("status", "is_left_out"), [(502, True), (503, True), (504, True), (500, False), (429, False)])
def test_a_gateway_without_its_server_counts_as_dead(status: int, is_left_out: bool) -> None:
    """The answer is given back all the same; who answers anything else is well."""

    async def story() -> None:
        async with serving(says("", status)) as bad, serving(says("")) as good, connected(bad, good) as to:
            assert (await to.ask("GET", "/")).status == status
            assert [(await to.ask("GET", "/")).status for _ in range(2)] == (
                [200, 200] if is_left_out else [200, status]
            )

    play(story())


def test_redirects_are_not_followed() -> None:
    """Credentials and records go to the configured address and no other."""

    async def story() -> None:
        seen: list[str] = []

        async def other(request: web.BaseRequest) -> web.Response:
            seen.append(request.path)
            return web.Response()

        async with serving(other) as elsewhere:
            moved = says("", 307, {"location": elsewhere + "/x"})
            async with serving(moved) as url, connected(url, headers={"authorization": "secret"}) as to:
                assert (await to.ask("POST", "/", b"{}")).status == 307
        assert seen == []

    play(story())


def test_cookies_are_not_kept() -> None:
    """What one answer sets, no request brings back."""

    async def story() -> None:
        brought: list[str | None] = []

        async def handler(request: web.BaseRequest) -> web.Response:
            brought.append(request.headers.get("cookie"))
            return web.Response(headers={"set-cookie": "stick=me; Path=/"})

        async with serving(handler) as url, connected(url) as to:
            for _ in range(2):
                await to.ask("GET", "/")
        assert brought == [None, None]

    play(story())


def test_what_is_asked_arrives_as_it_was_quoted() -> None:
    """Path, query and prefix, byte for byte."""

    async def story() -> None:
        seen: list[str] = []

        async def handler(request: web.BaseRequest) -> web.Response:
            seen.append(request.raw_path)
            return web.Response()

        async with serving(handler) as url, connected(url + "/pre%2Ffix/") as to:
            await to.ask("GET", "/a%2Fb%20c?x=errors,items.*._id&y=%2F")
        assert seen == ["/pre%2Ffix/a%2Fb%20c?x=errors,items.*._id&y=%2F"]

    play(story())


@pytest.mark.parametrize(
    "body",
    [[b"one", b"", b"two" * 100_000, b"three"], [b"x" * 3_000_000], b'{"a":1}', [], None],
    ids=["pieces", "large", "json", "empty", "none"],
)
def test_a_body_in_pieces_arrives_whole(body: list[bytes] | bytes | None) -> None:
    """With its length told beforehand; one of ``bytes`` is JSON."""

    async def story() -> None:
        async def handler(request: web.BaseRequest) -> web.Response:
            expected = body if isinstance(body, bytes) else b"".join(body or ())
            assert await request.content.read() == expected
            if body is not None:
                assert request.content_length == len(expected)
                assert "transfer-encoding" not in request.headers
                kind = "application/json" if isinstance(body, bytes) else "application/x-thing"
                assert request.headers.getall("content-type") == [kind]
            return web.Response()

        headers = None if isinstance(body, bytes) or body is None else {"content-type": "application/x-thing"}
        async with serving(handler) as url, connected(url) as to:
            assert (await to.ask("POST", "/", body, headers)).status == 200

    play(story())


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and what was asked may have been done."""
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 100_000)

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)

    async def story() -> None:
        async with serving(endless) as url, connected(url) as to:
            with pytest.raises(NoAnswer, match="larger than 100000 bytes"):
                await to.ask("GET", "/")

    play(story())


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (b"", CutOff),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", NoAnswer),
        (b"SSH-2.0-OpenSSH_9.2\r\n", CutOff),
    ],
    ids=["nothing", "half", "another-protocol"],
)
def test_a_broken_connection_leaves_open_what_happened(written: bytes, error: type[NoAnswer]) -> None:
    """Before an answer began it may be the size of the request, afterwards it is not."""

    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        assert request.transport is not None
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.write(written)
        request.transport.close()
        return web.Response()

    async def story() -> None:
        async with serving(hang_up) as url, connected(url) as to:
            with pytest.raises(NoAnswer) as caught:
                await to.ask("POST", "/", [b"body"], {"content-type": "text/plain"})
            assert type(caught.value) is error

    play(story())


def test_an_early_refusal_of_a_large_body_is_heard() -> None:
    """A server that says "too large" and stops reading is understood while we still write."""

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        await request.content.readany()
        return web.Response(status=413, headers={"connection": "close"})

    async def story() -> None:
        async with serving(refuse) as url, connected(url) as to:
            try:
                answer = await to.ask("POST", "/", [b"x" * 20_000_000], {"content-type": "text/plain"})
                assert answer.status == 413
            except CutOff:  # where the reset overtakes the answer
                pass

    play(story())


def test_no_answer_in_time_leaves_open_what_happened() -> None:
    """The time-out counts over the whole request."""

    async def never(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async def story() -> None:
        async with serving(never) as url, connected(url, request_timeout_secs=0.05) as to:
            with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
                await to.ask("GET", "/")

    play(story())


def test_connecting_has_its_own_time_out() -> None:
    """A host that takes no connection has certainly not taken the request."""

    async def story() -> None:
        with socket.socket() as full:  # its backlog is used up: further connections wait in the kernel
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            try:
                async with connected(f"http://127.0.0.1:{address[1]}", connect_timeout_secs=0.1) as to:
                    with pytest.raises(Retryable) as caught:
                        await to.ask("GET", "/")
                assert type(caught.value) is Retryable
            finally:
                for one in waiting:
                    one.close()

    play(story())


def test_an_unknown_name_is_no_connection() -> None:
    """What a name server does not know may be known later."""

    async def story() -> None:
        async with connected("http://no-such-host.invalid:9200") as to:
            with pytest.raises(Retryable, match=r"^no connection to no-such-host\.invalid:9200: [^\[]+$"):
                await to.ask("GET", "/")

    play(story())


def test_a_port_without_tls_is_told_from_a_bad_certificate() -> None:
    """``https`` to a plain port is a slip of the pen, and no certificate is to blame."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response()

    async def story() -> None:
        async with (
            serving(answer) as url,
            connected(url.replace("http:", "https:"), tls=ssl.create_default_context()) as to,
        ):
            with pytest.raises(Paused, match=r"^no TLS with 127\.0\.0\.1:\d+: .*; is TLS on there\?$"):
                await to.ask("GET", "/")

    play(story())


def test_requests_go_through_the_proxy() -> None:
    """Whole addresses are asked of it; the environment's proxies are none of ours."""

    async def story() -> None:
        seen: list[tuple[str, str | None]] = []

        async def proxy(request: web.BaseRequest) -> web.Response:
            seen.append((str(request.url), request.headers.get("proxy-authorization")))
            return web.Response(text="through")

        async with serving(proxy) as url:
            through = url.replace("http://", "http://user:pass@")
            async with connected("http://no-such-host.invalid:9200", proxy=through) as to:
                assert (await to.ask("GET", "/x")).body == b"through"
        assert seen == [("http://no-such-host.invalid:9200/x", "Basic dXNlcjpwYXNz")]

    play(story())


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the configuration says where records go."""

    async def story() -> None:
        monkeypatch.setenv("http_proxy", await nobody())
        async with serving(says("direct")) as url, connected(url) as to:
            assert (await to.ask("GET", "/")).body == b"direct"

    play(story())


def test_a_proxy_that_refuses_a_tunnel_pauses() -> None:
    """A person must act."""

    async def story() -> None:
        async with serving(says("", 407)) as url, connected("https://es.invalid:9200", proxy=url) as to:
            with pytest.raises(Paused, match="the proxy refuses"):
                await to.ask("GET", "/")

    play(story())


@pytest.mark.parametrize(("status", "error"), [(407, Paused), (403, Paused), (502, Retryable), (503, Retryable)])
def test_a_password_for_the_proxy_is_in_no_error(status: int, error: type[SendError]) -> None:
    """A proxy that cannot reach the host is a matter of time; one that does not let us through, of a person."""

    async def story() -> None:
        async with serving(says("", status)) as url:
            through = url.replace("http://", "http://user:hunter2@")
            async with connected("https://es.invalid:9200", proxy=through) as to:
                with pytest.raises(error) as caught:
                    await to.ask("GET", "/")
        assert "hunter2" not in str(caught.value)
        async with connected("http://es.invalid:9200", proxy="http://user:hunter2@127.0.0.1:99999") as to:
            with pytest.raises(Paused) as caught:
                await to.ask("GET", "/")
        assert "hunter2" not in str(caught.value)

    play(story())


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("http://a..b:9200", {}),
        ("http://127.0.0.1:99999", {}),
        ("http://[::1", {}),
        ("", {"x": "hunter2\nhunter2"}),
    ],
)
def test_settings_that_make_no_request_pause(host: str, headers: dict[str, str]) -> None:
    """Nothing was sent, no batch is to blame for its size, and time does not mend it."""

    async def story() -> None:
        async with serving(says("")) as url, connected(host or url, headers=headers) as to:
            with pytest.raises(Paused) as caught:
                await to.ask("POST", "/", b"{}")
        assert "hunter2" not in str(caught.value)

    play(story())


class FixedSigner:
    """Signs with what it was asked to sign; refuses an answer of 418."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    async def sign(self, method: str, url: str, body_sha256: str) -> Mapping[str, str]:
        self.asked.append((method, url, body_sha256))
        return {"authorization": "signed"}

    def look_at(self, answer: Answer) -> None:
        if answer.status == 418:
            raise Paused("not this signature")


def test_each_request_is_signed_for_the_host_it_goes_to() -> None:
    """With the checksum of its pieces as one, and the headers beside it."""
    empty, abc = "e3b0c44298fc1c14", "ba7816bf8f01cfea"  # of FIPS 180-4's examples

    async def story() -> None:
        seen: list[str | None] = []

        async def handler(request: web.BaseRequest) -> web.Response:
            seen.append(request.headers.get("authorization"))
            return web.Response()

        signer = FixedSigner()
        async with serving(handler) as a, serving(handler) as b, connected(a, b, signer=signer) as to:
            await to.ask("GET", "/x?y=z")
            await to.ask("POST", "/", [b"a", b"", b"bc"], {"content-type": "text/plain"})
        assert seen == ["signed", "signed"]
        assert [(method, url) for method, url, _ in signer.asked] == [("GET", a + "/x?y=z"), ("POST", b + "/")]
        assert [checksum[:16] for *_, checksum in signer.asked] == [empty, abc]

    play(story())


def test_a_refused_signature_is_no_sign_of_a_dead_host() -> None:
    """The host answered: it stays among those that are asked."""

    async def story() -> None:
        async with serving(says("", 418)) as a, connected(a, await nobody(), signer=FixedSigner()) as to:
            with pytest.raises(Paused, match="not this signature"):
                await to.ask("GET", "/")
            with pytest.raises(Retryable):
                await to.ask("GET", "/")
            with pytest.raises(Paused):
                await to.ask("GET", "/")

    play(story())
