"""Where an input listens: an address of this machine, a unix socket, or a socket that systemd opened for us.

======================= ==========================================================
``127.0.0.1:5140``      IPv4; ``[::1]:5140`` IPv6; port 0 takes a free one
``unix:/run/mt.sock``   a socket file, made with the mode asked for, removed at the end
``systemd:syslog``      the socket systemd passed under that name (``LISTEN_FDS``,
                        ``FileDescriptorName=``; without a name, the unit's)
======================= ==========================================================
"""

import contextlib
import errno
import ipaddress
import os
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.errors import ConfigError
from agent.log import Log

_INTERNET = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]/]+)):(\d{1,5})")
_FIRST_PASSED_FD = 3
_MAX_UNIX_PATH = 107
BACKLOG = 512

_log = Log("inputs.listen")

Address = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=300,
        description="Where to listen: `127.0.0.1:5140`, `unix:/run/modeltail.sock`, or `systemd:NAME` for a socket "
        "that systemd passes.",
    ),
]
Kind = Literal["stream", "datagram"]
PemFile = Annotated[str, Meta(min_length=1)]


class Place(msgspec.Struct, frozen=True):
    """An address taken apart: host and port, or the path of a socket, or the name of one passed."""

    host: str = ""
    port: int = 0
    path: str = ""
    passed: str = ""


class TlsOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """TLS of a listening input."""

    certificate: Annotated[PemFile, Meta(description="PEM file of the certificate, its chain included.")]
    key: Annotated[PemFile | None, Meta(description="PEM file of its key, unless it is in `certificate`.")] = None
    client_ca: Annotated[
        PemFile | None,
        Meta(
            description="PEM file of the authority that clients' certificates must be from; without it clients need "
            "none.",
        ),
    ] = None


def parse_address(text: str) -> Place:
    """Take an address apart. Raises ``ValueError`` with the reason, as the end of a sentence that begins "must be"."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        if not rest.startswith("/") or len(os.fsencode(rest)) > _MAX_UNIX_PATH:
            raise ValueError(f"an absolute path of at most {_MAX_UNIX_PATH} bytes behind `unix:`")
        return Place(path=rest)
    if scheme == "systemd":
        if not rest:
            raise ValueError("the name of a socket behind `systemd:`")
        return Place(passed=rest)
    found = _INTERNET.fullmatch(text)
    if not found or int(found[3]) > 65535:
        raise ValueError("an address with a port (`127.0.0.1:5140`), `unix:/path` or `systemd:NAME`")
    return Place(host=found[1] or found[2], port=int(found[3]))


def address_problem(text: str) -> str | None:
    """What is wrong with an address, as a sentence for ``problems()``; None if nothing."""
    try:
        parse_address(text)
    except ValueError as error:
        return f"must be {error}"
    return None


@contextlib.contextmanager
def listening(text: str, kind: Kind, where: str, mode: int = 0o660) -> Iterator[list[socket.socket]]:
    """The bound sockets of an address, non-blocking, streams listening; closed at the end, a socket file removed.

    ``where`` names the setting in messages (``inputs.syslog.listen``), ``mode`` is a socket file's. A host name may
    give several sockets; addresses of it that this machine does not have are passed over. A socket file left behind by
    a process that is gone is replaced; one that still answers is not.

    Raises:
        ConfigError: the address cannot be had.
    """
    place = parse_address(text)
    with contextlib.ExitStack() as stack:
        try:
            if place.passed:
                sockets = [stack.enter_context(s) for s in _passed(place.passed, kind)]
            elif place.path:
                sockets = [stack.enter_context(_unix(place.path, kind, mode, stack))]
            else:
                sockets = [stack.enter_context(s) for s in _internet(place, kind)]
        except OSError as error:
            raise ConfigError([f"{where}: cannot listen on {text}: {error.strerror or error}"]) from error
        for each in sockets:
            each.setblocking(False)
        yield sockets


def address_of(listener: socket.socket) -> str:
    """The address of a bound socket, as it would be written in the configuration."""
    name = listener.getsockname()
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return f"unix:{os.fsdecode(name)}"


def announce(input_id: str, bound: socket.socket, *, tls: bool) -> None:
    """Say where an input listens, and warn if other machines may reach it without TLS."""
    address = address_of(bound)
    if not tls and _is_open_to_others(bound):
        _log.warning("An input listens beyond this machine without TLS", input=input_id, address=address)
    _log.info("An input is listening", input=input_id, address=address)


def _is_open_to_others(bound: socket.socket) -> bool:
    name = bound.getsockname()
    return isinstance(name, tuple) and not ipaddress.ip_address(name[0].partition("%")[0]).is_loopback


def server_tls(options: TlsOptions, where: str) -> ssl.SSLContext:
    """The context of a TLS server. Raises ``ConfigError`` when a file cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(options.certificate, options.key)
        if options.client_ca is not None:
            context.load_verify_locations(options.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{where}: a certificate or key cannot be used: {error}"]) from error
    return context


def _type(kind: Kind) -> socket.SocketKind:
    return socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM


def _internet(place: Place, kind: Kind) -> Iterator[socket.socket]:
    port = place.port
    found = list(dict.fromkeys(socket.getaddrinfo(place.host, port, type=_type(kind), flags=socket.AI_PASSIVE)))
    failure: OSError | None = None
    bound = 0
    for family, type_, protocol, _, address in found:
        try:
            made = socket.socket(family, type_, protocol)
        except OSError as error:
            failure = error  # a kernel without IPv6
            continue
        try:
            if kind == "stream":
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((address[0], port, *address[2:]))
            port = port or made.getsockname()[1]  # the addresses of one name share a free port
            if kind == "stream":
                made.listen(BACKLOG)
        except BaseException as error:
            made.close()
            if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
                failure = error
                continue
            raise
        bound += 1
        yield made
    if not bound:
        raise failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")


def _unix(path: str, kind: Kind, mode: int, stack: contextlib.ExitStack) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, _type(kind))
    try:
        _remove_stale(path, kind)
        made.bind(path)
        os.chmod(path, mode)
        if kind == "stream":
            made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    stack.callback(_remove, path, os.stat(path).st_ino)
    return made


def _remove_stale(path: str, kind: Kind) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # binding will say what is in the way
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, _type(kind)) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def _remove(path: str, inode: int) -> None:
    with contextlib.suppress(OSError):
        if os.stat(path).st_ino == inode:  # somebody else's may lie there by now
            os.unlink(path)


def _passed(name: str, kind: Kind) -> Iterator[socket.socket]:
    """The sockets systemd passed under a name (sd_listen_fds(3)). They stay open for others that ask."""
    environ = os.environ
    count = _number(environ.get("LISTEN_FDS")) if _number(environ.get("LISTEN_PID")) == os.getpid() else 0
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = 0
    for fd, called in zip(range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + count), names, strict=False):
        if called != name:
            continue
        each = socket.socket(fileno=os.dup(fd))
        listens = kind == "datagram" or each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if each.type == _type(kind) and listens:
            found += 1
            yield each
        else:
            each.close()
    if not found:
        raise OSError(f"systemd passed no {kind} socket of this name")


def _number(text: str | None) -> int:
    """A number of the environment, 0 if it is none."""
    return int(text) if text and text.isascii() and text.isdigit() else 0
