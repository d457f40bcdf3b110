"""Which container a log file is of, by its path.

The kubelet names a container's log ``/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log`` and links to it
from ``/var/log/containers/<pod>_<namespace>_<container>-<container id>.log`` (``pkg/kubelet/kuberuntime``); docker
keeps ``/var/lib/docker/containers/<id>/<id>-json.log``. No name in them holds an underscore.
"""

import os
import re
from typing import Final

from agent.values import quote

_POD: Final = re.compile(
    r"/pods/(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_(?P<uid>[^/_]+)/(?P<container>[^/]+)/\d+\.log"
).search
_LINK: Final = re.compile(
    r"/(?P<pod>[^/_]+)_(?P<namespace>[^/_]+)_(?P<container>[^/_]+)-(?P<id>[0-9a-f]{64})\.log$"
).search
_DOCKER: Final = re.compile(r"/(?P<id>[0-9a-f]{64})/(?P=id)-json\.log").search
_MAX_LINKS: Final = 8

_PLACES: Final = {
    "namespace": ("kubernetes.namespace", "orchestrator.namespace"),
    "pod": ("kubernetes.pod.name", "orchestrator.resource.name"),
    "uid": ("kubernetes.pod.uid",),
    "container": ("kubernetes.container.name", "container.name"),
    "id": ("container.id",),
}


def container_of(path: str) -> dict[str, bytes]:
    """What the path says, and every path it is a link to: places and their JSON text. Looks at the disk."""
    said: dict[str, str] = {}
    for name in _with_targets(path):
        for pattern in (_POD, _LINK, _DOCKER):
            if found := pattern(name):
                said = found.groupdict() | said
    places = {place: quote(_text(value)) for key, value in said.items() for place in _PLACES[key]}
    if "pod" in said:
        places |= {"orchestrator.type": b'"kubernetes"', "orchestrator.resource.type": b'"pod"'}
    return places


def _with_targets(path: str) -> list[str]:
    names = [path]
    try:
        while len(names) <= _MAX_LINKS:
            names.append(os.path.normpath(os.path.join(os.path.dirname(names[-1]), os.readlink(names[-1]))))
    except OSError:
        pass  # no link, or gone: what its name says is what there is to say
    return names


def _text(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
