"""The Job's manifest: right for Kubernetes, and modeltail in it ends when the model has."""

from functools import cache
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from agent.cli import run
from agent.config.load import load
from agent.config.root import AgentConfig
from agent.config.units import size
from tests.deploy.test_kubernetes import _validate

MANIFEST = Path(__file__).parents[2] / "deploy/kubernetes/job.yaml"
OLDEST = "1.28"
"""The last without native sidecars, for which this way is."""


@cache
def _manifest() -> dict[str, Any]:
    """By kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}


def _pod() -> dict[str, Any]:
    pod: dict[str, Any] = _manifest()["Job"]["spec"]["template"]["spec"]
    return pod


def _containers() -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in _pod()["containers"]}


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """The configuration inside the manifest."""
    file = tmp_path / "agent.yaml"
    file.write_text(_manifest()["ConfigMap"]["data"]["agent.yaml"])
    return load(file, {entry["name"]: "set" for entry in _containers()["modeltail"]["env"]})


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.__version__.rpartition(".")[0]])
def test_manifest_is_valid_before_and_after_native_sidecars(version: str) -> None:
    """Every key is known and of its type."""
    done = _validate(MANIFEST, version)
    assert done.returncode == 0, done.stdout + done.stderr


def test_command_line_is_understood_and_ends_by_itself() -> None:
    """The arguments are those of the command, and one of them is what lets the Job complete."""
    command, *arguments = _containers()["modeltail"]["args"]
    assert command == "run"
    context = run.make_context("run", list(arguments), resilient_parsing=False)
    assert isinstance(context, click.Context)
    assert context.params["quiet_secs"] > 0
    assert str(context.params["path"]) == "/etc/modeltail/agent.yaml"


def test_modeltail_may_see_who_writes() -> None:
    """The model's processes are in sight, and theirs is the same user and group: otherwise their open files are not."""
    assert _pod()["shareProcessNamespace"] is True
    assert {"runAsUser", "runAsGroup"} <= set(_pod()["securityContext"])
    for container in _containers().values():
        assert not {"runAsUser", "runAsGroup"} & set(container["securityContext"])


def test_job_ends_when_its_containers_have() -> None:
    """Nothing starts modeltail again once it has ended with status 0, and an outage cannot hold the Job for ever."""
    assert _pod()["restartPolicy"] == "Never"
    assert "initContainers" not in _pod()
    assert _manifest()["Job"]["spec"]["activeDeadlineSeconds"] > 0


def test_pod_may_stop_longer_than_the_agent_takes(config: AgentConfig) -> None:
    """At the deadline model and agent are asked at the same moment; the agent's grace fits into the pod's period."""
    assert _pod()["terminationGracePeriodSeconds"] >= 2 * config.grace


def test_pod_is_not_evicted_for_a_full_queue(config: AgentConfig) -> None:
    """Queue and dead letters at their limits stay below the volume's, or the pod would go, and the model with it."""
    volumes = {volume["name"]: volume for volume in _pod()["volumes"]}
    limit = size(volumes["queue"]["emptyDir"]["sizeLimit"] + "B")
    assert config.queue.max_bytes + len(config.outputs) * config.dead_letters.max_bytes < limit


def test_agent_writes_only_where_it_may(config: AgentConfig) -> None:
    """The root file system and the model's logs are read-only; the queue's folder is a volume."""
    modeltail = _containers()["modeltail"]
    mounts = {mount["mountPath"]: mount for mount in modeltail["volumeMounts"]}
    assert modeltail["securityContext"]["readOnlyRootFilesystem"]
    assert mounts["/logs"]["readOnly"]
    assert "readOnly" not in mounts[str(config.queue.path.parent)]
