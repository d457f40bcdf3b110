"""The errors that cross a boundary, each because someone reacts to it differently::

ModeltailError
├── ConfigError          the configuration cannot be used; nothing was touched. Exit status 1
├── NoRoom               the queue had no room for a batch within the time it could wait; nothing of it is kept
├── QueueError           the queue folder cannot be used at all (locked, not a folder). Exit status 1
└── SendError            a whole batch was not taken by an output
    ├── Retryable        the answer was "not now": send again later
    │   ├── Throttled    … because of how much was sent lately, not of how much this is
    │   └── NoAnswer     there was no answer: the batch may or may not have arrived
    │       └── CutOff   the connection broke under the batch: perhaps it is too large
    ├── TooLarge         the answer was "too large": split, then send the parts
    ├── Paused           the answer was "not you" or "not like this" for any batch: keep everything, say so
    └── Refused          the answer was "never": find the culprit record, or dead-letter the batch
"""


class ModeltailError(Exception):
    """Anything modeltail reports to its user by message rather than by traceback."""


class ConfigError(ModeltailError):
    """The configuration cannot be used. ``problems`` are complete sentences, one per mistake, in file order."""

    def __init__(self, problems: "list[str]") -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class QueueError(ModeltailError):
    """The queue directory cannot be used at all: another agent holds it, or it is not a directory we may write."""


class NoRoom(ModeltailError):
    """The queue had no room for a batch within its ``patience_secs``. Nothing of it is in the queue; it can be offered
    again."""


class SendError(ModeltailError):
    """A whole batch was not taken. The output has no state left of it; the batch can be sent again."""


class Retryable(SendError):
    """Not now (429, 5xx, connection refused). ``retry_after_secs`` is the server's own wish, if it had one."""

    def __init__(self, message: str, retry_after_secs: float | None = None, overloaded: bool = False) -> None:
        super().__init__(message)
        self.retry_after_secs = retry_after_secs
        self.overloaded = overloaded


class Throttled(Retryable):
    """Too much was sent in this time. The other end says something else of a batch that is too large for it, so this is
    never a hint of that."""

    def __init__(self, message: str, retry_after_secs: float | None = None) -> None:
        super().__init__(message, retry_after_secs, overloaded=True)


class NoAnswer(Retryable):
    """The request was sent, the answer never came (timeout, reset): the batch may have been taken."""


class CutOff(NoAnswer):
    """The connection broke while a large batch was being sent, or right after, though small requests are answered. Some
    servers refuse what is too large for them like this."""


class TooLarge(SendError):
    """The batch is larger than the other end takes. Split it; a single record this large needs truncation or a dead
    letter."""


class Paused(SendError):
    """No batch can be taken until a person acts (401, 403, wrong template). Nothing is lost; it is tried again
    slowly."""


class Refused(SendError):
    """The whole request was refused for what is in it (400). One record of it may be the culprit."""
