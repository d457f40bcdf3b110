"""The configuration's JSON Schema (draft 2020-12), for editors that complete and check ``agent.yaml``.

An editor sees what YAML makes of a scalar, the loader sees its text. So wherever a scalar is wanted the schema takes
every way of writing it: a version may look like a number, a size may be a number or text, a switch may be ``yes``, and
everything may be a ``${REFERENCE}``. What only the loader can know (files of secrets, time zones, regular expressions,
rules over several settings) is left to it.
"""

from pathlib import Path
from typing import cast

import msgspec
from msgspec import inspect as mi

from agent.config.scalars import Note, bare, shown
from agent.config.units import SWITCHES

Schema = dict[str, object]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
_TEXT = ["string", "number", "boolean"]
_SWITCH = "^(" + "|".join(case(word) for word in SWITCHES for case in (str.lower, str.title, str.upper)) + r")$|\$\{"
_KIND_PATTERNS = {
    "size": r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT][iI]?)?[bB]?\s*$|\$\{",
    "duration": r"^\s*[0-9]+(\.[0-9]+)?\s*(us|µs|ms|s|m|min|h|d|w)?\s*$|\$\{",
}


def schema_of(cls: type[msgspec.Struct], title: str) -> Schema:
    """The schema of a file that holds ``cls``."""
    definitions: dict[str, Schema] = {}
    root = _struct(cast("mi.StructType", mi.type_info(cls)), definitions)
    return {"$schema": _DIALECT, "title": title, **root, "$defs": dict(sorted(definitions.items()))}


def default_of(field: mi.Field) -> object:
    """A field's default, ``msgspec.NODEFAULT`` if it has none."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _schema(type_: mi.Type, note: Note, definitions: dict[str, Schema]) -> Schema:
    if isinstance(type_, mi.Metadata):
        return _schema(bare(type_), note.inner(type_), definitions)
    match type_:
        case mi.UnionType(types=types):
            return _union(types, note, definitions)
        case mi.StructType(cls=cls):
            name = cls.__name__
            if name not in definitions:
                definitions[name] = {}
                definitions[name] = _struct(type_, definitions)
            return {"$ref": f"#/$defs/{name}"}
        case mi.DictType(value_type=value):
            limits = _limits(minProperties=type_.min_length, maxProperties=type_.max_length)
            return {"type": "object", "additionalProperties": _schema(value, Note(), definitions), **limits}
        case mi.ListType() | mi.VarTupleType() | mi.SetType() | mi.FrozenSetType():
            item = _schema(type_.item_type, Note(), definitions)
            array = {"type": "array", "items": item, **_limits(minItems=type_.min_length, maxItems=type_.max_length)}
            return array if "$ref" in item or "oneOf" in item else {"anyOf": [array, item]}
    return _scalar(type_, note.kind)


def _scalar(type_: mi.Type, kind: str | None) -> Schema:
    match type_:
        case mi.NoneType():
            return {"type": "null"}
        case mi.BoolType():
            return {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _SWITCH}]}
        case mi.IntType() | mi.FloatType():
            number = {"type": "integer" if isinstance(type_, mi.IntType) else "number"}
            limits = _limits(minimum=type_.ge, exclusiveMinimum=type_.gt, maximum=type_.le, exclusiveMaximum=type_.lt)
            if kind in _KIND_PATTERNS:
                limits = {"minimum": 0, **limits}
                return {"anyOf": [{**number, **limits}, {"type": "string", "pattern": _KIND_PATTERNS[kind]}]}
            return {"anyOf": [{**number, **limits}, _REFERENCE]}
        case mi.LiteralType(values=values):
            return {"anyOf": [{"enum": [*values]}, _REFERENCE]}
        case mi.StrType():
            limits = _limits(minLength=type_.min_length, maxLength=type_.max_length)
            if type_.pattern is not None:
                limits["pattern"] = rf"{type_.pattern}|\$\{{"
            return {"type": _TEXT, **limits}
        case mi.CustomType(cls=cls) if issubclass(cls, Path):
            return {"type": "string", "minLength": 1}
    raise TypeError(f"no schema for a {type_}")


def _union(types: tuple[mi.Type, ...], note: Note, definitions: dict[str, Schema]) -> Schema:
    structs = [t for t in types if isinstance(bare(t), mi.StructType)]
    others = [t for t in types if t not in structs]
    schemas = [_schema(t, note.inner(t), definitions) for t in others]
    if len(structs) > 1:
        schemas.append({"oneOf": [_schema(t, note, definitions) for t in structs]})
    else:
        schemas += [_schema(t, note, definitions) for t in structs]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _struct(type_: mi.StructType, definitions: dict[str, Schema]) -> Schema:
    properties: dict[str, object] = {}
    required: list[str] = []
    if type_.tag_field is not None:
        properties[type_.tag_field] = {"const": type_.tag}
        required.append(type_.tag_field)
    for field in type_.fields:
        properties[field.encode_name] = {
            **_described(field.type),
            **_schema(field.type, Note(), definitions),
            **_default(field),
        }
        if field.required:
            required.append(field.encode_name)
    described = {"description": summary(type_.cls)} if type_.cls.__doc__ else {}
    return {
        "type": "object",
        **described,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def summary(cls: type) -> str:
    """What the struct's docstring says, as one line."""
    return " ".join((cls.__doc__ or "").split())


def description(type_: mi.Type) -> str:
    """What a field's annotation says it means."""
    if not isinstance(type_, mi.Metadata):
        return ""
    return str((type_.extra_json_schema or {}).get("description", "")) or description(type_.type)


def _described(type_: mi.Type) -> Schema:
    text = description(type_)
    return {"description": text} if text else {}


def _default(field: mi.Field) -> Schema:
    value = default_of(field)
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct) or field.encode_name == "id":
        return {}
    kind = Note().inner(field.type).kind
    if isinstance(value, Path) or kind in ("size", "duration"):
        return {"default": shown(kind, value)}
    return {"default": msgspec.to_builtins(value)}


def _limits(**limits: float | None) -> Schema:
    return {name: limit for name, limit in limits.items() if limit is not None}
