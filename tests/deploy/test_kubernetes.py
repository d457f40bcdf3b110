"""The sidecar's manifest: right for Kubernetes, and right for modeltail."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agent.config.load import load
from agent.config.root import AgentConfig
from agent.config.units import size
from agent.outputs.elasticsearch.config import ElasticsearchConfig

MANIFEST = Path(__file__).parents[2] / "deploy/kubernetes/sidecar.yaml"
OLDEST = "1.29"
"""The first in which native sidecars are on without being asked for."""


@cache
def _manifest() -> dict[str, Any]:
    """By kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}


def _pod() -> dict[str, Any]:
    pod: dict[str, Any] = _manifest()["Deployment"]["spec"]["template"]["spec"]
    return pod


def _modeltail() -> dict[str, Any]:
    (container,) = _pod()["initContainers"]
    sidecar: dict[str, Any] = container
    return sidecar


def _size_limits() -> dict[str, int]:
    return {
        volume["name"]: size(volume["emptyDir"]["sizeLimit"] + "B")
        for volume in _pod()["volumes"]
        if "emptyDir" in volume
    }


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """The configuration inside the manifest."""
    file = tmp_path / "agent.yaml"
    file.write_text(_manifest()["ConfigMap"]["data"]["agent.yaml"])
    return load(file, {entry["name"]: "set" for entry in _modeltail()["env"]})


def _validate(manifest: Path, version: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(manifest)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.__version__.rpartition(".")[0]])
def test_manifest_is_valid_for_the_oldest_and_the_newest_kubernetes(version: str) -> None:
    """Every key is known and of its type."""
    done = _validate(MANIFEST, version)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("passed") + done.stdout.count("passed") == len(_manifest())


def test_misspelt_key_would_be_found(tmp_path: Path) -> None:
    """The check above can fail."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MANIFEST.read_text().replace("livenessProbe", "livelinessProbe"))
    assert _validate(wrong, OLDEST).returncode != 0


def test_configuration_inside_is_good(config: AgentConfig) -> None:
    """It passes what `modeltail check` checks, with the environment the manifest gives and nothing else."""
    (output,) = config.outputs
    assert isinstance(output, ElasticsearchConfig)
    assert output.api_key == "set"


def test_probe_and_scrape_ask_where_the_status_is(config: AgentConfig) -> None:
    """The kubelet comes from outside the pod, to the port that is configured."""
    assert config.status.host == "0.0.0.0"  # noqa: S104 - the pod's own network namespace
    (port,) = _modeltail()["ports"]
    annotations = _manifest()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert port["containerPort"] == config.status.port == int(annotations["prometheus.io/port"])
    assert _modeltail()["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port["name"]}


def test_sidecar_starts_before_the_model_and_ends_after_it() -> None:
    """A restartable init container, and the only one: the kubelet ends it when every ordinary container has ended, so
    that the model's last words are read."""
    assert [container["name"] for container in _pod()["initContainers"]] == ["modeltail"]
    assert _modeltail()["restartPolicy"] == "Always"
    assert "modeltail" not in {container["name"] for container in _pod()["containers"]}


def test_trouble_of_the_sidecar_is_no_trouble_of_the_model() -> None:
    """A startup or readiness probe would hold the model back, and is for the operator to choose."""
    assert _modeltail()["restartPolicy"] == "Always"
    assert not {"startupProbe", "readinessProbe"} & set(_modeltail())
    shown = "\n".join(re.findall(r"^ {10}#(\w.*|  .*)$", MANIFEST.read_text(), re.MULTILINE))
    assert set(yaml.safe_load(shown)) == {"startupProbe", "readinessProbe"}


def test_pod_may_stop_longer_than_the_agent_takes(config: AgentConfig) -> None:
    """The model's own time and the agent's grace fit into the pod's period."""
    assert _pod()["terminationGracePeriodSeconds"] >= 2 * config.grace


def test_pod_is_not_evicted_for_a_full_queue(config: AgentConfig) -> None:
    """Queue and dead letters at their limits stay below the volume's, or the pod would go, and the model with it."""
    assert config.queue.max_bytes + len(config.outputs) * config.dead_letters.max_bytes < _size_limits()["queue"]


def test_agent_writes_only_where_it_may(config: AgentConfig) -> None:
    """The root file system and the model's logs are read-only; the queue's folder is a volume."""
    mounts = {mount["mountPath"]: mount for mount in _modeltail()["volumeMounts"]}
    assert _modeltail()["securityContext"]["readOnlyRootFilesystem"]
    assert mounts["/logs"]["readOnly"]
    assert str(config.queue.path.parent) in mounts
    assert "readOnly" not in mounts[str(config.queue.path.parent)]
