"""Where the agent runs: host, container and pod, read once from the environment.

In Kubernetes the downward API fills the variables (``deploy/kubernetes`` does): ``NODE_NAME``, ``POD_NAME``,
``POD_NAMESPACE``, ``POD_UID``, ``CONTAINER_NAME`` (the model's container, not ours) and, because nothing in a pod
knows it, ``CLUSTER_NAME``. The container's id is read from the cgroup files, except in a pod: there it would be the
agent's own container, which is not the model's.
"""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

MAX_CHARS: Final = 512
_MAX_PROC_BYTES: Final = 256 * 1024
# Docker, containerd, CRI-O and Podman all name a container by 64 hexadecimal digits, as the last part of the
# cgroup's path (v1, and v2 seen from the host) or as a folder of the files mounted into it (v2 seen from inside).
_CGROUP: Final = re.compile(r"^\d+:[^:]*:.*?([0-9a-f]{64})(?:\.scope)?$", re.MULTILINE)
_MOUNTED: Final = re.compile(r"/containers/(?:[^/ ]+/)*?([0-9a-f]{64})/[^ ]*(?:hostname|hosts|resolv\.conf)\b")


def host(environ: Mapping[str, str] = os.environ, proc: Path = Path("/proc/self")) -> dict[str, bytes]:
    """The places that say where a record was collected, and their JSON text. Never fails: what cannot be read is left
    out."""

    def said(variable: str) -> str | None:
        return environ.get(variable, "").strip()[:MAX_CHARS] or None

    pod = said("POD_NAME")
    texts = {
        "host.name": said("NODE_NAME") or said("MODELTAIL_HOST_NAME") or socket.gethostname()[:MAX_CHARS] or None,
        "container.id": None if pod else container_id(proc),
        "container.name": said("CONTAINER_NAME"),
    }
    if pod or said("KUBERNETES_SERVICE_HOST"):
        texts |= {
            "orchestrator.type": "kubernetes",
            "orchestrator.cluster.name": said("CLUSTER_NAME"),
            "orchestrator.namespace": said("POD_NAMESPACE"),
            "orchestrator.resource.type": "pod" if pod else None,
            "orchestrator.resource.name": pod,
            "kubernetes.namespace": said("POD_NAMESPACE"),
            "kubernetes.pod.name": pod,
            "kubernetes.pod.uid": said("POD_UID"),
            "kubernetes.node.name": said("NODE_NAME"),
            "kubernetes.container.name": said("CONTAINER_NAME"),
        }
    return {place: msgspec.json.encode(text) for place, text in texts.items() if text is not None}


def container_id(proc: Path) -> str | None:
    """The id of the container this process runs in; None outside one, or where the runtime hides it."""
    for name, pattern in (("cgroup", _CGROUP), ("mountinfo", _MOUNTED)):
        try:
            with (proc / name).open("rb") as file:
                text = file.read(_MAX_PROC_BYTES).decode(errors="replace")
        except OSError:
            continue
        if found := pattern.search(text):
            return found[1]
    return None
