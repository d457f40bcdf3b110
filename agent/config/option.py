"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def config_option(*names: str, help: str = "The configuration.") -> Callable[[Any], Any]:
    """``--config FILE``. ``names`` are its spellings and the parameter's name, as ``click.option`` takes them."""
    return click.option(
        *names,
        type=click.Path(path_type=Path),
        default=Path("agent.yaml"),
        envvar="MODELTAIL_CONFIG",
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help=help,
    )


queue_option = click.option(
    "--queue",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The queue's folder, in place of the configuration's.",
)
