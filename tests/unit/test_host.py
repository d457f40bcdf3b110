"""Where the agent runs, read from environment variables and cgroup files."""

import socket
from pathlib import Path

import pytest

from agent.host import host

ID = "4f" * 32


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cgroup", f"12:pids:/docker/{ID}\n"),
        ("cgroup", f"1:name=systemd:/kubepods/besteffort/pod1-2/{ID}\n"),
        ("cgroup", f"0::/system.slice/docker-{ID}.scope\n"),
        ("cgroup", f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n"),
        ("mountinfo", f"1 2 0:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/x rw\n"),
        (
            "mountinfo",
            f"1 2 0:1 /run/containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname rw - tmpfs\n",
        ),
    ],
)
def test_container_id(tmp_path: Path, name: str, text: str) -> None:
    """The runtimes name a container by 64 hexadecimal digits, in one of two files."""
    (tmp_path / name).write_text(text)
    assert host({}, tmp_path)["container.id"] == f'"{ID}"'.encode()


@pytest.mark.parametrize("text", ["0::/\n", f"0::/user.slice/{ID[:-1]}\n", "0::/system.slice/x.service\n", "\x00\n"])
def test_no_container(tmp_path: Path, text: str) -> None:
    """On a plain host there is no container; unreadable files are none either."""
    (tmp_path / "cgroup").write_text(text)
    assert host({}, tmp_path) == {"host.name": f'"{socket.gethostname()}"'.encode()}
    assert "container.id" not in host({}, tmp_path / "missing")


def test_pod(tmp_path: Path) -> None:
    """The downward API says which pod and node; the agent's own container's id is not the model's."""
    (tmp_path / "cgroup").write_text(f"0::/kubepods/{ID}\n")
    environ = {
        "NODE_NAME": "node-0001",
        "POD_NAME": "scorer-0",
        "POD_NAMESPACE": "ml",
        "POD_UID": "u",
        "CONTAINER_NAME": "model",
        "CLUSTER_NAME": "",
    }
    assert host(environ, tmp_path) == {
        "host.name": b'"node-0001"',
        "container.name": b'"model"',
        "orchestrator.type": b'"kubernetes"',
        "orchestrator.namespace": b'"ml"',
        "orchestrator.resource.type": b'"pod"',
        "orchestrator.resource.name": b'"scorer-0"',
        "kubernetes.namespace": b'"ml"',
        "kubernetes.pod.name": b'"scorer-0"',
        "kubernetes.pod.uid": b'"u"',
        "kubernetes.node.name": b'"node-0001"',
        "kubernetes.container.name": b'"model"',
    }


def test_host_name_can_be_given(tmp_path: Path) -> None:
    """Where the machine's own name says nothing."""
    assert host({"MODELTAIL_HOST_NAME": "edge-7"}, tmp_path)["host.name"] == b'"edge-7"'
