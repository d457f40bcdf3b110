"""YAML text to a tree of nodes that know their place; nothing is converted, every scalar stays the text it was written
as.

PyYAML's composer does the reading, so this is YAML 1.1 without its guesses about types. Refused, each with a sentence:
keys written twice, keys that are not plain text, tags (``!!python/…``), merge keys (``<<``), aliases that contain
themselves, and documents beyond the limits below. Aliases count as often as they are used, so that a few lines cannot
stand for a billion values.
"""

from yaml.composer import Composer
from yaml.error import Mark, MarkedYAMLError
from yaml.events import AliasEvent, Event
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from agent.config.problem import Place, Problem

MAX_BYTES = 1024**2
MAX_DEPTH = 40
MAX_NODES = 20_000

_TOP = Place(1, 1)


class Unreadable(Exception):
    """The text is not YAML, or beyond a limit: there is no tree. ``problem`` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


def parse(data: bytes) -> tuple[Node | None, list[Problem]]:
    """The root node (``None`` for an empty file) and the problems of form that do not stop the rest from being checked.

    Raises ``Unreadable`` when there is nothing to check.
    """
    if len(data) > MAX_BYTES:
        raise Unreadable(Problem(_TOP, "", f"the file is larger than {MAX_BYTES // 1024} KiB"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise Unreadable(Problem(Place(line, column), "", "the file is not UTF-8 text")) from None
    try:
        composer = _BoundedComposer(text)
        root: Node | None = composer.get_single_node()
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
        raise Unreadable(Problem(place, "", "this character is not allowed in YAML")) from None
    except MarkedYAMLError as error:
        raise Unreadable(_syntax_problem(error)) from None
    problems: list[Problem] = []
    if root is not None:
        _Form(problems).check(root)
    return root, sorted(problems)


def place(node: Node) -> Place:
    """Where a node begins."""
    return _place(node.start_mark)


def is_empty(node: Node) -> bool:
    """Whether nothing, ``~`` or ``null`` is written here. Quoted text is text, even when there is none between the
    quotes."""
    return isinstance(node, ScalarNode) and node.style is None and node.value in ("", "~", "null", "Null", "NULL")


def _place(mark: Mark | None) -> Place:
    return _TOP if mark is None else Place(mark.line + 1, mark.column + 1)


def _syntax_problem(error: MarkedYAMLError) -> Problem:
    said = error.problem or "it cannot be understood"
    if "'\\t'" in said:
        said += " (indent with spaces, not with tabs)"
    elif said == "mapping values are not allowed here":
        said += " (is the line indented as it should be, or is a text with `: ` not in quotes?)"
    elif "expected a single document" in (error.context or ""):
        said = "only one document is allowed in the file"
    return Problem(_place(error.problem_mark or error.context_mark), "", f"not valid YAML: {said}")


class _BoundedComposer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's composer without type guessing, and with limits that hold before memory or the stack are used up."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """One node and what is in it."""
        event: Event = self.peek_event()  # type: ignore[no-untyped-call]
        start: Mark | None = event.start_mark  # type: ignore[assignment]
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES:
            raise MarkedYAMLError(None, None, f"the file has more than {MAX_NODES} values", start)
        if self._depth > MAX_DEPTH:
            raise MarkedYAMLError(None, None, f"values are nested more than {MAX_DEPTH} deep", start)
        if not isinstance(event, AliasEvent) and getattr(event, "tag", None) is not None:
            raise MarkedYAMLError(None, None, "tags are not supported; a value has the type its setting has", start)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Form:
    """Checks what YAML allows and a configuration should not have."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, node: Node) -> int:
        """The number of values in a node, aliases counted as often as they are used."""
        if id(node) in self._open:
            raise Unreadable(Problem(place(node), "", "this value contains itself through an alias"))
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        self._open.add(id(node))
        size = 1
        if isinstance(node, SequenceNode):
            size += sum(self.check(item) for item in node.value)
        elif isinstance(node, MappingNode):
            size += self._check_mapping(node)
        if size > MAX_NODES:
            raise Unreadable(Problem(place(node), "", f"aliases make more than {MAX_NODES} values of this"))
        self._open.discard(id(node))
        self._sizes[id(node)] = size
        return size

    def _check_mapping(self, node: MappingNode) -> int:
        first: dict[str, Place] = {}
        size = 0
        for key, value in node.value:
            size += 1 + self.check(value)
            here = place(key)
            if not isinstance(key, ScalarNode):
                self._problems.append(
                    Problem(here, "", "a key must be plain text (is a `{{ }}` or `[ ]` not in quotes?)")
                )
            elif key.value == "<<" and key.style is None:
                self._problems.append(
                    Problem(
                        here,
                        "",
                        "merge keys (`<<`) are not supported; write the settings out, or alias a whole value",
                    )
                )
            elif key.value in first:
                there = first[key.value]
                sentence = f"`{key.value}` is written twice: here and at line {there.line}, column {there.column}"
                self._problems.append(Problem(here, "", sentence))
            else:
                first[key.value] = here
        return size


__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "MappingNode",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "Unreadable",
    "is_empty",
    "parse",
    "place",
]
