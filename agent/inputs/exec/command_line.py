"""The command line of the model as it may be shown: what looks like a secret is left out. Pure."""

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from agent.config.secret import without_url_passwords

MAX_CHARS: Final = 1000
"""A longer command line is cut: Elasticsearch does not index longer keywords."""
_CONCEALED: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"(?:^|[^a-z0-9])(?:api-?key|access-?key|secret|token|password|passwd|passphrase|pwd|credentials?|private-?key|"
    r"authorization|bearer)(?:$|[^a-z0-9])"
)
_HEADER: Final = re.compile(r"(?i)((?:authorization|x-api-key|cookie)\s*:\s*|bearer\s+)\S.*", re.DOTALL)


def shown(command: Sequence[str], secrets: Iterable[str] = ()) -> str:
    """The command as one would type it. The value of an option or variable whose name speaks of a secret
    (``--api-key=…``, ``--hf-token …``, ``DB_PASSWORD=…``), the password in a URL, and every text of ``secrets`` are
    ``***``."""
    words: list[str] = []
    conceal_next = False
    for word in command:
        name, equals, value = word.partition("=")
        if conceal_next and not word.startswith("-"):
            word = _CONCEALED
        elif equals and value and _speaks_of_a_secret(name):
            word = f"{name}={_CONCEALED}"
        else:
            word = _HEADER.sub(rf"\1{_CONCEALED}", without_url_passwords(word))
        conceal_next = not equals and name.startswith("-") and _speaks_of_a_secret(name)
        words.append(word if word == _CONCEALED or word.endswith(f"={_CONCEALED}") else shlex.quote(word))
    text = " ".join(words)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _CONCEALED) if len(secret) > 5 else text
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def _speaks_of_a_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name.lower().replace("_", "-").replace(".", "-")))
