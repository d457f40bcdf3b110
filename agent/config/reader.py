"""Nodes into typed structs, with every problem on the way.

``msgspec.convert`` stops at the first mistake, so this walks the types itself (as ``msgspec.inspect`` describes them):
structs, unions told apart by ``type``, lists, mappings, optional values, and the scalars of ``agent.config.scalars``. A
value that cannot be read is noted and left out, and the walk goes on.

Where a list of scalars is wanted, a single scalar is a list of one (``paths: /logs/*.log``). A struct may have a method
``problems`` that yields pairs of a setting (``hosts``, ``hosts[1]``, ``delivery.batch_bytes``, or empty for the struct)
and a sentence, for rules over several settings; it is asked once all of the struct could be read.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import inspect as mi

from agent.config import scalars
from agent.config.document import MappingNode, Node, ScalarNode, SequenceNode, is_empty, place
from agent.config.environment import expand
from agent.config.problem import Place, Problem, did_you_mean, listed
from agent.config.scalars import Note, Unfit, bare
from agent.config.secret import secrets_in, without_url_passwords

T = TypeVar("T")

_List = mi.ListType | mi.VarTupleType | mi.SetType | mi.FrozenSetType
_LISTS = (mi.ListType, mi.VarTupleType, mi.SetType, mi.FrozenSetType)
_SHOWN = 60
_LISTED = 24
_TELLING = 4
"""An expanded text shorter than this is no secret, and looking for it would hit ordinary words."""


class _Unread:
    """Stands for a value that could not be read; its problem is noted."""


_UNREAD: Final = _Unread()


class Reader:
    """Reads one document. ``problems`` collects what is wrong, in no particular order."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._environ = environ
        self._places: dict[str, Place] = {}
        self._as_written: dict[str, str] = {}

    def read(self, cls: type[T], root: Node) -> T | None:
        """The struct, or None if there are problems."""
        value = self._value(mi.type_info(cls), Note(), root, "")
        return value if isinstance(value, cls) and not self.problems else None

    def _value(self, type_: mi.Type, note: Note, node: Node, setting: str) -> object:
        if isinstance(type_, mi.Metadata):
            return self._value(bare(type_), note.inner(type_), node, setting)
        self._places[setting] = place(node)
        members = type_.types if isinstance(type_, mi.UnionType) else (type_,)
        if is_empty(node):
            return self._empty(members, node, setting)
        structs = [m for m in map(bare, members) if isinstance(m, mi.StructType)]
        match node:
            case MappingNode() if structs:
                return self._choice(structs, node, setting)
            case MappingNode():
                for member in map(bare, members):
                    if isinstance(member, mi.DictType):
                        return self._mapping(member, node, setting)
            case SequenceNode():
                for member in map(bare, members):
                    if isinstance(member, _LISTS):
                        return self._items(member, node.value, node, setting)
            case ScalarNode():
                return self._scalar(members, note, node, setting)
        return self._shape(members, node, setting)

    def _empty(self, members: Iterable[mi.Type], node: Node, setting: str) -> object:
        if any(isinstance(m, mi.NoneType) for m in members):
            return None
        return self._problem(node, setting, "has no value; give it one, or remove the line")

    def _scalar(self, members: Iterable[mi.Type], note: Note, node: ScalarNode, setting: str) -> object:
        try:
            text = expand(node.value, self._environ)
        except ValueError as error:
            return self._problem(node, setting, str(error))
        if text != node.value:
            self._as_written[text] = node.value
            if not text and node.style is None:
                return self._empty(members, node, setting)
        unfit: list[Unfit] = []
        secret = False
        for member in members:
            wanted, own = bare(member), note.inner(member)
            if isinstance(wanted, _LISTS):
                if isinstance(bare(wanted.item_type), scalars.SCALARS):
                    return self._items(wanted, [node], node, setting)
            elif isinstance(wanted, scalars.SCALARS):
                secret = secret or own.kind == "secret"
                try:
                    return scalars.read(wanted, own, text)
                except Unfit as error:
                    unfit.append(error)
        if not unfit:
            return self._shape(members, node, setting)
        expected = " or ".join(error.expected for error in unfit)
        hint = next((error.hint for error in unfit if error.hint), "")
        if secret:
            return self._problem(node, setting, f"must be {expected}")
        seen = "" if text == node.value else " as the environment fills it in"
        return self._problem(node, setting, f"must be {expected}, not {_quoted(node.value)}{seen}{hint}")

    def _items(self, type_: _List, nodes: list[Node], node: Node, setting: str) -> object:
        values = [self._value(type_.item_type, Note(), item, f"{setting}[{i}]") for i, item in enumerate(nodes)]
        if not self._length_fits(type_, len(values), "values", node, setting) or _UNREAD in values:
            return _UNREAD
        match type_:
            case mi.VarTupleType():
                return tuple(values)
            case mi.SetType():
                return set(values)
            case mi.FrozenSetType():
                return frozenset(values)
        return values

    def _mapping(self, type_: mi.DictType, node: MappingNode, setting: str) -> object:
        values: dict[object, object] = {}
        for key, value in _pairs(node):
            name = f"{setting}.{key.value}"
            try:
                known = scalars.read(bare(type_.key_type), Note().inner(type_.key_type), key.value)
            except Unfit as error:
                self._problem(key, name, f"the key must be {error.expected}")
                continue
            values[known] = self._value(type_.value_type, Note(), value, name)
        if not self._length_fits(type_, len(values), "entries", node, setting) or _UNREAD in values.values():
            return _UNREAD
        return values

    def _length_fits(
        self, type_: mi.CollectionType | mi.DictType, length: int, what: str, node: Node, setting: str
    ) -> bool:
        try:
            scalars.check_length(type_.min_length, type_.max_length, length, what)
        except Unfit as error:
            self._problem(node, setting, f"must be {error.expected}")
            return False
        return True

    def _choice(self, structs: list[mi.StructType], node: MappingNode, setting: str) -> object:
        """One of several structs, told apart by their tag; a single struct without a tag is itself."""
        tag_field = structs[0].tag_field
        if tag_field is None:
            return self._struct(structs[0], node, setting)
        by_tag = {str(struct.tag): struct for struct in structs}
        tags = [value for key, value in _pairs(node) if key.value == tag_field]
        here = _joined(setting, tag_field)
        if not tags:
            return self._problem(node, here, f"is missing; it says what this is: {listed(by_tag)}")
        tag = tags[0]
        if not isinstance(tag, ScalarNode) or tag.value not in by_tag:
            written = tag.value if isinstance(tag, ScalarNode) else ""
            sentence = f"must be {listed(by_tag)}, not {_quoted(written)}{did_you_mean(written, by_tag)}"
            return self._problem(tag, here, sentence)
        self._places[here] = place(tag)
        return self._struct(by_tag[tag.value], node, setting)

    def _struct(self, type_: mi.StructType, node: MappingNode, setting: str) -> object:
        fields = {field.encode_name: field for field in type_.fields}
        values: dict[str, object] = {}
        for key, value in _pairs(node):
            field = fields.get(key.value)
            if field is not None:
                values[field.name] = self._value(field.type, Note(), value, _joined(setting, key.value))
            elif key.value != type_.tag_field or type_.tag is None:
                self._problem(key, _joined(setting, key.value), _unknown(key.value, type_))
        for name, field in fields.items():
            if field.required and field.name not in values:
                self._problem(node, _joined(setting, name), "is missing")
                values[field.name] = _UNREAD
        if _UNREAD in values.values():
            return _UNREAD
        try:
            struct = type_.cls(**values)
        except ValueError as error:
            return self._problem(node, setting, without_url_passwords(str(error)))
        self._ask(struct, {field.name: name for name, field in fields.items()}, node, setting)
        return struct

    def _ask(self, struct: msgspec.Struct, written: dict[str, str], node: Node, setting: str) -> None:
        """The struct's own rules over several settings."""
        ask = getattr(struct, "problems", None)
        if ask is None:
            return
        for name, sentence in ask():
            first = name.partition(".")[0].partition("[")[0]
            name = written.get(first, first) + name[len(first) :]
            path = _joined(setting, name) if name else setting
            here = next((self._places[p] for p in (path, _joined(setting, first)) if p in self._places), place(node))
            self.problems.append(Problem(here, path, self._printable(sentence, struct)))

    def _printable(self, sentence: str, struct: msgspec.Struct) -> str:
        """A struct's own sentence may quote a value: it is shown as it is written in the file, secrets not at all."""
        shown = {secret: "***" for secret in secrets_in(struct)}
        shown |= {text: written for text, written in self._as_written.items() if len(text) >= _TELLING}
        # The longest first: replacing a part of a secret would leave the rest readable.
        for text in sorted(shown, key=len, reverse=True):
            sentence = sentence.replace(text, shown[text])
        return without_url_passwords(sentence)

    def _shape(self, members: Iterable[mi.Type], node: Node, setting: str) -> object:
        wanted = " or ".join(dict.fromkeys(_noun(bare(m)) for m in members if not isinstance(m, mi.NoneType)))
        match node:
            case MappingNode():
                found = "a mapping (`key: value`)"
            case SequenceNode():
                found = "a list"
            case _:
                found = "one value"
        hint = "; put `- ` in front of it" if "list" in wanted and not isinstance(node, SequenceNode) else ""
        return self._problem(node, setting, f"must be {wanted}, not {found}{hint}")

    def _problem(self, node: Node, setting: str, sentence: str) -> object:
        self.problems.append(Problem(place(node), setting, sentence))
        return _UNREAD


def _pairs(node: MappingNode) -> Iterable[tuple[ScalarNode, Node]]:
    """A mapping's pairs whose key is text, each key once; what is wrong with the others was found when the document
    was parsed."""
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, ScalarNode) and key.value not in seen and (key.value != "<<" or key.style is not None):
            seen.add(key.value)
            yield key, value


def _joined(setting: str, name: str) -> str:
    return f"{setting}.{name}" if setting else name


def _quoted(text: str) -> str:
    line = " ".join(without_url_passwords(text).split())
    return f"`{line if len(line) <= _SHOWN else line[:_SHOWN] + '…'}`"


def _noun(type_: mi.Type) -> str:
    match type_:
        case mi.StructType() | mi.DictType():
            return "a mapping (`key: value`)"
        case mi.ListType() | mi.VarTupleType() | mi.SetType() | mi.FrozenSetType():
            return "a list"
    return "one value"


def _unknown(name: str, type_: mi.StructType) -> str:
    """What to say of a key that is no setting: the nearest setting here or one level below, or all that are here."""
    here = [field.encode_name for field in type_.fields] + ([type_.tag_field] if type_.tag_field else [])
    below = [
        f"{field.encode_name}.{inner.encode_name}"
        for field in type_.fields
        for member in [bare(field.type)]
        if isinstance(member, mi.StructType)
        for inner in member.fields
    ]
    hint = did_you_mean(name, here) or did_you_mean(name, below)
    if not hint and here and len(here) <= _LISTED:
        hint = f"; the settings here are {listed(here, 'and')}"
    return f"is not a setting{hint}"
