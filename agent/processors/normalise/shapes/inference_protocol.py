"""The bodies of inference requests and responses: the Open Inference Protocol (version 2) of KServe, Triton and
MLServer, and version 1, which TensorFlow Serving speaks too.

* Version 2: tensors, ``[{"name": …, "shape": […], "datatype": …, "data": […]}, …]``, under ``inputs`` in a request
  and ``outputs`` in a response. They become an object by name, ``{"<name>": {"shape": …, …}}``, so that each tensor
  has a path of its own. A request may list under ``outputs`` which ones it wants: those are no outputs.
* Version 1: ``instances`` and ``predictions``, one element for each record.

How many records a body holds (``batch_size``) is taken from the tensors where they all have at least two dimensions
and the same first one, and from the number of instances.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from agent.processors.normalise.shapes.moving import object_of
from agent.processors.normalise.tolerant import Record
from agent.values import Value, is_string, unquote

REQUESTED: Final = "requested_outputs"
"""Where the list of wanted outputs goes."""

_PAYLOADS: Final = frozenset(("inputs", "outputs", "instances"))
_BODY: Final = _PAYLOADS | {"id", "model_name", "model_version", "parameters", "predictions", "signature_name"}
_OF_TRANSPORT: Final = frozenset(("@timestamp", "cloudevent"))
_SIZES: Final = frozenset(("ml.inference.batch_size", "batch_size"))
_TENSOR: Final = frozenset(("name", "shape", "datatype"))
_OF_REQUESTED: Final = frozenset(("name", "parameters"))

_objects: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_values: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_shape: Final = msgspec.json.Decoder(list[int], strict=True).decode


def is_body(keys: Collection[str]) -> bool:
    """Whether a record with these keys may be a body. Only what has no keys but a body's, and those its transport adds,
    is looked at: ``inputs``, ``outputs`` and ``instances`` alone are everybody's words."""
    names = set(keys)
    return not names.isdisjoint(_PAYLOADS) and all("." in name for name in names - _BODY - _OF_TRANSPORT)


def lay_flat(record: Record) -> Record:
    """The body with its tensors by name, and its batch size; what is no body comes back as it was."""
    flat = dict(record)
    sizes: set[int] = set()
    inputs = _tensors(record.get("inputs"))
    outputs = _tensors(record.get("outputs"))
    if inputs is not None:
        flat["inputs"] = _by_name(inputs)
        sizes.add(_batch_size(inputs))
        if outputs is None and REQUESTED not in record and _are_requested(record.get("outputs")):
            flat[REQUESTED] = flat.pop("outputs")
    if outputs is not None:
        flat["outputs"] = _by_name(outputs)
        if inputs is None:
            sizes.add(_batch_size(outputs))
    if "instances" in record:
        sizes.add(_count(record["instances"]))
    if len(sizes) == 1 and 0 not in sizes and _SIZES.isdisjoint(record):
        flat["ml.inference.batch_size"] = b"%d" % sizes.pop()
    return flat


def _tensors(value: Value | None) -> list[Record] | None:
    """The tensors of a list of nothing else, with names that differ; None for anything else."""
    found = _listed(value)
    if not found or not all(tensor.keys() >= _TENSOR and is_string(bytes(tensor["name"])) for tensor in found):
        return None
    names = {unquote(bytes(tensor["name"])) for tensor in found}
    return found if len(names) == len(found) else None


def _are_requested(value: Value | None) -> bool:
    found = _listed(value)
    return bool(found) and all("name" in each and _OF_REQUESTED.issuperset(each) for each in found)


def _listed(value: Value | None) -> list[Record]:
    """The objects of a list of nothing else."""
    if value is None or not bytes(value).startswith(b"["):
        return []
    try:
        return _objects(bytes(value))  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _by_name(tensors: Sequence[Record]) -> bytes:
    # A name becomes a key as it is written, escapes and all.
    named = ((tensor["name"], object_of({k: v for k, v in tensor.items() if k != "name"})) for tensor in tensors)
    return b"{%b}" % b",".join(b"%b:%b" % (bytes(name), rest) for name, rest in named)


def _batch_size(tensors: Sequence[Record]) -> int:
    """The first dimension all tensors have; 0 if they do not say the same, or may not mean the same by it."""
    found: set[int] = set()
    for tensor in tensors:
        try:
            shape = _shape(bytes(tensor["shape"]))
        except msgspec.DecodeError:
            return 0
        if len(shape) < 2:
            return 0
        found.add(shape[0])
    size = found.pop()
    return size if not found and 0 < size < 10**9 else 0


def _count(instances: Value) -> int:
    """How many instances there are; 0 if they are no list."""
    try:
        return len(_values(bytes(instances)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
