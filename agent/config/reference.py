"""``docs/configuration.md``: every setting, its type, default and meaning, written from the structs."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
from msgspec import inspect as mi

from agent.config.scalars import Note, bare, shown
from agent.config.schema import default_of, description, summary

_KINDS = {
    "size": "[size](#sizes)",
    "duration": "[duration](#durations)",
    "secret": "[secret](#secrets)",
    "pattern": "[regular expression](#regular-expressions)",
    "zone": "time zone",
    "query": "[query](search.md#the-language)",
}

_INTRODUCTION = """\
<!-- Written by `modeltail config reference` from the structs beside each component. Change those, then run it again.
-->

# Configuration

modeltail reads one YAML file: `modeltail run -c agent.yaml`, or the file named by `MODELTAIL_CONFIG`. `modeltail check
agent.yaml` finds every mistake in it at once and says where each is; `modeltail check --connect agent.yaml` also asks
every output. `config/agent.schema.json` lets editors complete and check the file.

```yaml
# yaml-language-server: $schema=config/agent.schema.json
model:   {name: fraud-scorer, version: "3.2.0"}
inputs:  [{type: file, paths: [/logs/*.log]}]
outputs: [{type: elasticsearch, hosts: ["https://es:9200"], api_key: "${ES_API_KEY}"}]
```

## How values are written

A value has the type its setting has, whatever YAML would make of it: `version: 1.10` is the version 1.10, not 1.1, and
`name: no` is a name. Where a list of single values is wanted, one value is a list of one: `paths: /logs/*.log`. Keys
written twice, tags (`!!…`) and merge keys (`<<`) are refused; anchors and aliases work.

### Variables

`${NAME}` anywhere in a value is replaced by the environment variable, `${NAME:-default}` by the default if the variable
is not set or empty. A missing variable without a default is a mistake. `$${` is a plain `${`. Variables are filled in
after the file is parsed, so nothing in one can change the file's structure. What comes from a variable is never
printed; messages show the value as it is written in the file.

### Sizes

`64MiB`, `1.5 GiB` (powers of 1024), `10MB` (powers of 1000), or a bare number of bytes.

### Durations

`100ms`, `5s`, `15m`, `1.5h`, `7d`, `2w`, or a bare number of seconds.

### Secrets

The secret itself, `${NAME}`, or `file:/run/secrets/name`: then the file is read once, when the configuration is,
without one line end behind the secret. Secrets are never printed or logged.

### Regular expressions

RE2's syntax (<https://github.com/google/re2/wiki/Syntax>): no look-around and no back-references, and so no pattern can
make a line take more than linear time.
"""


def reference_of(cls: type[msgspec.Struct]) -> str:
    """The page, as Markdown."""
    root = cast("mi.StructType", mi.type_info(cls))
    return "\n".join(_page(root)) + "\n"


def _page(root: mi.StructType) -> Iterator[str]:
    yield _INTRODUCTION
    yield "## The file"
    yield ""
    yield from _table(root)
    shared: dict[str, list[mi.StructType]] = {}
    for field in root.fields:
        structs = list(_structs(field.type))
        if not structs:
            continue
        yield f"\n## `{field.encode_name}`\n"
        yield description(field.type)
        for struct in structs:
            if struct.tag_field is not None:
                yield f"\n### `{struct.tag_field}: {struct.tag}`"
            yield f"\n{summary(struct.cls)}\n"
            yield from _table(struct)
            _collect(struct, shared)
    for name, structs in shared.items():
        yield f"\n## `{name}`"
        for struct in structs:
            if struct.tag_field is not None:
                yield f"\n### `{struct.tag_field}: {struct.tag}`"
            yield f"\n{summary(struct.cls)}\n"
            yield from _table(struct)


def _collect(struct: mi.StructType, shared: dict[str, list[mi.StructType]]) -> None:
    """Structs inside a component's, each once: several components have the same."""
    for field in struct.fields:
        structs = list(_structs(field.type))
        if structs and field.encode_name not in shared:
            shared[field.encode_name] = structs
            for inner in structs:
                _collect(inner, shared)


def _table(struct: mi.StructType) -> Iterator[str]:
    yield "| setting | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    shared = {name for parent in struct.cls.__mro__[1:] for name in getattr(parent, "__annotations__", ())}
    # What one must give comes first, then what is this component's own, then what all its kind have.
    for field in sorted(struct.fields, key=lambda field: (not field.required, field.name in shared)):
        meaning = " ".join(filter(None, (description(field.type), _limits(field.type))))
        cells = (f"`{field.encode_name}`", _words(field.type, field.encode_name), _default(field), meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _words(type_: mi.Type, name: str, note: Note | None = None) -> str:
    """A type as a person names it."""
    note = (note or Note()).inner(type_)
    match bare(type_):
        case mi.UnionType(types=types):
            return " or ".join(dict.fromkeys(_words(t, name, note) for t in types if not isinstance(t, mi.NoneType)))
        case mi.StructType():
            return f"[settings](#{name})"
        case mi.ListType(item_type=item) | mi.VarTupleType(item_type=item):
            return f"list of {_words(item, name)}"
        case mi.SetType(item_type=item) | mi.FrozenSetType(item_type=item):
            return f"list of {_words(item, name)}"
        case mi.DictType(value_type=value):
            return f"mapping to {_words(value, name)}"
        case mi.LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case mi.BoolType():
            return "`true` or `false`"
        case mi.CustomType(cls=cls) if issubclass(cls, Path):
            return "path"
        case mi.IntType():
            return _KINDS.get(note.kind or "", "whole number")
        case mi.FloatType():
            return _KINDS.get(note.kind or "", "number")
        case mi.StrType():
            return _KINDS.get(note.kind or "", "text")
    raise TypeError(f"no words for a {type_}")


def _limits(type_: mi.Type, note: Note | None = None) -> str:
    note = (note or Note()).inner(type_)
    match bare(type_):
        case mi.IntType() | mi.FloatType() as number:
            limits = (
                ("at least", number.ge),
                ("more than", number.gt),
                ("at most", number.le),
                ("less than", number.lt),
            )
            words = [f"{word} {shown(note.kind, limit)}" for word, limit in limits if limit is not None]
            return f"({', '.join(words)})" if words else ""
        case mi.UnionType(types=types):
            return next(filter(None, (_limits(t, note) for t in types)), "")
    return ""


def _default(field: mi.Field) -> str:
    if field.required:
        return "**required**"
    value = default_of(field)
    if field.encode_name == "id":
        return "the type's name"
    if isinstance(value, msgspec.Struct) or value is None or value in ("", [], {}, ()):
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(f"`{shown(None, item)}`" for item in value)
    return f"`{shown(Note().inner(field.type).kind, value)}`"


def _structs(type_: mi.Type) -> Iterator[mi.StructType]:
    """The structs a field can hold."""
    match bare(type_):
        case mi.StructType() as struct:
            yield struct
        case mi.UnionType(types=types):
            for member in types:
                yield from _structs(member)
        case mi.ListType(item_type=item) | mi.VarTupleType(item_type=item) | mi.DictType(value_type=item):
            yield from _structs(item)
