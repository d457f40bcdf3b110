"""A configuration file into typed structs, or every problem of it at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from agent.config.document import MAX_BYTES, Unreadable, parse
from agent.config.problem import Place, Problem
from agent.config.reader import Reader
from agent.config.root import AgentConfig
from agent.errors import ConfigError

T = TypeVar("T")
C = TypeVar("C", bound=AgentConfig)


def load(path: Path, environ: Mapping[str, str] | None = None) -> AgentConfig:
    """Read the file at ``path``. ``environ`` is what ``${NAME}`` refers to, the process's environment by default.

    Raises ``ConfigError`` with every problem of the file, in file order, each beginning with ``file:line:column``.
    Besides the file itself only the files of secrets (``file:/…``) are opened.
    """
    return load_as(AgentConfig, path, environ)


def load_as(cls: type[C], path: Path, environ: Mapping[str, str] | None = None) -> C:
    """Likewise, the configuration of a command that has one of its own."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    return read(cls, data, str(path), os.environ if environ is None else environ)


def read(cls: type[T], data: bytes, name: str, environ: Mapping[str, str]) -> T:
    """Read the text of a file into any struct made for it; ``name`` is the file's name in messages. Raises
    ``ConfigError``."""
    try:
        root, problems = parse(data)
    except Unreadable as error:
        raise ConfigError([error.problem.text(name)]) from None
    if root is None:
        raise ConfigError([Problem(Place(1, 1), "", "the file has no settings in it").text(name)])
    reader = Reader(environ)
    value = reader.read(cls, root)
    problems = sorted(set(problems + reader.problems))
    if problems or value is None:
        raise ConfigError([problem.text(name) for problem in problems])
    return value
