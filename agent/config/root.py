"""The whole configuration: what ``agent.yaml`` may hold."""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, StreamPart
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.inputs import InputConfig
from agent.inputs.exec.config import ExecConfig
from agent.inputs.stdin.config import StdinConfig
from agent.log import Format, Level
from agent.model import ModelConfig
from agent.outputs import OutputConfig
from agent.queue.config import QueueConfig
from agent.status.config import StatusConfig

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class LogConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """modeltail's own log, on standard error."""

    level: Annotated[Level, Meta(description="The least important lines to write.")] = "info"
    format: Annotated[
        Format,
        Meta(description="`text` for people, `json` for machines; `auto` is text on a terminal and JSON otherwise."),
    ] = "auto"


class AgentConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The settings at the top of the file."""

    model: Annotated[ModelConfig, Meta(description="Which model the records come from.")] = msgspec.field(
        default_factory=ModelConfig
    )
    inputs: Annotated[list[InputConfig], Meta(min_length=1, max_length=100, description="Where records come from.")]
    outputs: Annotated[list[OutputConfig], Meta(min_length=1, max_length=20, description="Where records go.")]
    queue: Annotated[QueueConfig, Meta(description="The queue on disk between inputs and outputs.")] = msgspec.field(
        default_factory=QueueConfig
    )
    dead_letters: Annotated[
        DeadLettersConfig, Meta(description="Where records go that an output refused for good.")
    ] = msgspec.field(default_factory=DeadLettersConfig)
    status: Annotated[StatusConfig, Meta(description="The status endpoint.")] = msgspec.field(
        default_factory=StatusConfig
    )
    log: Annotated[LogConfig, Meta(description="modeltail's own log.")] = msgspec.field(default_factory=LogConfig)
    grace: Annotated[
        Duration,
        Meta(
            gt=0,
            description="How long stopping may take. Keep it below what the supervisor allows (Kubernetes: 30s).",
        ),
    ] = 25.0
    environment: Annotated[
        str | None,
        Meta(description="Where the model runs (`production`, `staging`): `service.environment` on every record."),
    ] = None
    dataset: Annotated[
        StreamPart,
        Meta(
            description="Dataset of the records; names the data stream with `namespace`: `logs-<dataset>-<namespace>`."
        ),
    ] = "modeltail.inference"
    namespace: Annotated[
        StreamPart, Meta(description="Namespace of the records, for example one per environment or team.")
    ] = "default"
    labels: Annotated[
        dict[str, str], Meta(max_length=100, description="Labels put on every record, as `labels.<name>`.")
    ] = {}

    def __post_init__(self) -> None:
        """Give every component without an ``id`` one."""
        _name(self.inputs)
        _name(self.outputs)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong between components."""
        yield from _id_problems("inputs", self.inputs)
        yield from _id_problems("outputs", self.outputs)
        readers = [i for i, component in enumerate(self.inputs) if isinstance(component, StdinConfig)]
        for i in readers[1:]:
            yield f"inputs[{i}]", "only one input can read standard input"
        runners = [i for i, component in enumerate(self.inputs) if isinstance(component, ExecConfig)]
        for i in runners[1:]:
            yield f"inputs[{i}]", "only one input can run the model"
        if runners and readers:
            yield f"inputs[{readers[0]}]", "standard input belongs to the model that modeltail runs"
        places = {self.queue.path: "the queue"}
        for i, component in enumerate(self.outputs):
            path = getattr(component, "path", None)
            if path in places:
                yield f"outputs[{i}].path", f"this place is taken by {places[path]}"
            elif path is not None:
                places[path] = f"the output `{component.id}`"


class WrappingConfig(AgentConfig, kw_only=True, forbid_unknown_fields=True):
    """The configuration of ``modeltail exec``: the input that runs the model is there without being named."""

    inputs: Annotated[list[InputConfig], Meta(max_length=100, description="Where other records come from.")] = []

    def __post_init__(self) -> None:
        """Add the input of the type ``exec``, unless it is there."""
        if not any(isinstance(component, ExecConfig) for component in self.inputs):
            self.inputs = [ExecConfig(), *self.inputs]
        super().__post_init__()


def _id_problems(kind: str, components: "list[InputConfig] | list[OutputConfig]") -> Iterator[tuple[str, str]]:
    """Ids name files and metric labels, so they are short, plain and unique per kind."""
    seen: set[str] = set()
    for i, component in enumerate(components):
        if not re.fullmatch(_ID, component.id):
            yield (
                f"{kind}[{i}].id",
                "must be 1 to 64 letters, digits, `_`, `.` or `-`, beginning with a letter or digit",
            )
        elif component.id in seen:
            yield f"{kind}[{i}].id", f"another one of the {kind} has the id `{component.id}`; ids must differ"
        seen.add(component.id)


def _name(components: "list[InputConfig] | list[OutputConfig]") -> None:
    """An id is the type's name, with a number from the second on. Ids that were given are never taken."""
    taken = {component.id for component in components}
    for component in components:
        if component.id:
            continue
        kind = str(component.__struct_config__.tag)
        number = 1
        while (name := kind if number == 1 else f"{kind}-{number}") in taken:
            number += 1
        taken.add(name)
        component.id = name
