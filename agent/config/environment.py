"""``${NAME}`` and ``${NAME:-default}`` inside a value.

Expanded after the YAML is parsed, so that nothing in a variable can become a key or a comment. ``$${`` is a plain
``${``. A default is used when the variable is not set or empty, as in a shell; it is plain text up to the next ``}``. A
dollar sign without a brace means itself.
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references replaced. Raises ``ValueError`` with a sentence that names the variable, never
    its value."""
    return _REFERENCE.sub(lambda found: _replace(found, environ), text) if "${" in text else text


def _replace(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if found[0] == "$${":
        return "${"
    inside = _NAME.fullmatch(found[1])
    if not found[2]:
        raise ValueError("a `${` is not closed by a `}`; write `$${` for the two characters themselves")
    if inside is None:
        raise ValueError(
            f"`{found[0]}` is neither `${{NAME}}` nor `${{NAME:-default}}`; "
            "write `$${` for the two characters themselves"
        )
    name, default = inside.groups()
    value = environ.get(name)
    if default is not None:
        return value or str(default)
    if value is None:
        raise ValueError(f"the environment has no variable `{name}`; set it, or give a default with `${{{name}:-…}}`")
    return value
