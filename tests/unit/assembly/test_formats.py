"""What container runtimes write around a line, and which container a file is of."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.assembly.config import Format
from agent.inputs.assembly.containers import container_of
from agent.inputs.assembly.formats import decode

T9 = b"2026-11-22T10:00:00.123456789Z"
ID = "0123456789abcdef" * 4

ROWS = [
    (b"%b stdout F hello" % T9, (b"hello", b"stdout", b'"%b"' % T9, True)),
    (b"%b stderr P hel lo " % T9, (b"hel lo ", b"stderr", b'"%b"' % T9, False)),
    (b"%b stdout F " % T9, (b"", b"stdout", b'"%b"' % T9, True)),
    (b"%b stdout F" % T9, (b"", b"stdout", b'"%b"' % T9, True)),
    (b"%b stdout F:x hello" % T9, (b"hello", b"stdout", b'"%b"' % T9, True)),
    (
        b"2026-11-22T10:00:00.1+02:00 stdout F x",
        (b"x", b"stdout", b'"2026-11-22T10:00:00.1+02:00"', True),
    ),
    (b"%b stdin F x" % T9, None),
    (b"%b stdout X x" % T9, None),
    (b"2026-13-22T10:00:00Z stdout F x", None),
    (b"stdout F x", None),
    (b"", None),
    (
        b'{"log":"h\\u00e9\\n","stream":"stdout","time":"%b"}' % T9,
        ("hé".encode(), b"stdout", b'"%b"' % T9, True),
    ),
    (b'{"log":"h","stream":"stderr","time":"%b"}' % T9, (b"h", b"stderr", b'"%b"' % T9, False)),
    (b'{"log":"h\\n","stream":"out","time":"%b"}' % T9, None),
    (b'{"log":1,"stream":"stdout","time":"%b"}' % T9, None),
    (b'{"message":"h"}', None),
]


@pytest.mark.parametrize(("line", "expected"), ROWS)
def test_record(line: bytes, expected: tuple[bytes, bytes, bytes, bool] | None) -> None:
    """What is written becomes this; what is of no format stays whole."""
    form: Format = "docker" if line.startswith(b"{") else "cri"
    for known in (form, "auto"):
        assert [*zip(*decode([line], known), strict=True)] == [expected or (line, b"", b"", True)]


@pytest.mark.parametrize("form", ["cri", "docker", "auto", "plain"])
@given(st.lists(st.one_of(st.sampled_from([line for line, _ in ROWS]), st.binary(max_size=50)), max_size=8))
def test_a_block_is_read_as_its_lines_are(form: Format, lines: list[bytes]) -> None:
    """Together or one by one, garbage among them or not."""
    lines = [line.replace(b"\n", b"") for line in lines]
    alone = [record for line in lines for record in zip(*decode([line], form), strict=True)]
    assert [*zip(*decode(lines, form), strict=True)] == alone


POD = {
    "kubernetes.namespace": b'"ml"',
    "kubernetes.pod.name": b'"scorer-5d4-x"',
    "kubernetes.container.name": b'"server"',
    "container.name": b'"server"',
    "orchestrator.type": b'"kubernetes"',
    "orchestrator.namespace": b'"ml"',
    "orchestrator.resource.type": b'"pod"',
    "orchestrator.resource.name": b'"scorer-5d4-x"',
}
UID = {"kubernetes.pod.uid": b'"1b4e28ba-2fa1"'}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/log/pods/ml_scorer-5d4-x_1b4e28ba-2fa1/server/0.log", POD | UID),
        ("/var/log/pods/ml_scorer-5d4-x_1b4e28ba-2fa1/server/3.log.20261122-101500", POD | UID),
        (f"/var/log/containers/scorer-5d4-x_ml_server-{ID}.log", POD | {"container.id": f'"{ID}"'.encode()}),
        (f"/var/lib/docker/containers/{ID}/{ID}-json.log", {"container.id": f'"{ID}"'.encode()}),
        ("/logs/model.log", {}),
    ],
)
def test_container_of_a_path(path: str, expected: dict[str, bytes]) -> None:
    """The kubelet's two kinds of names, and docker's."""
    assert container_of(path) == expected


def test_a_link_says_what_it_links_to(tmp_path: Path) -> None:
    """The kubelet's link knows the container's id, what it points to the pod's; docker's file is behind a third."""
    folder = tmp_path / "pods" / "ml_scorer-5d4-x_1b4e28ba-2fa1" / "server"
    folder.mkdir(parents=True)
    (folder / "0.log").symlink_to(f"/var/lib/docker/containers/{ID}/{ID}-json.log")
    link = tmp_path / "containers" / f"scorer-5d4-x_ml_server-{ID}.log"
    link.parent.mkdir()
    link.symlink_to("../pods/ml_scorer-5d4-x_1b4e28ba-2fa1/server/0.log")
    assert container_of(str(link)) == POD | UID | {"container.id": f'"{ID}"'.encode()}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A mistake in the folder is not ours to hang on."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert container_of(str(tmp_path / "a")) == {}
