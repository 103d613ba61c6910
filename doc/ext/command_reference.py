# SPDX-License-Identifier: Apache-2.0
"""The directive ``cliff-commands``: every command of a cliff application.

cliff's own directive finds commands by entry points; ours are in the
application itself.
"""

from typing import Any

from cliff import command
from cliff import sphinxext
from sphinx import application


class CliffCommands(sphinxext.AutoprogramCliffDirective):
    """Describes each command; the argument is the application's class."""

    def _load_app(self) -> None:
        """Give none, so that cliff describes commands."""

    def _load_commands(self) -> dict[str, type[command.Command]]:
        manager = super()._load_app().command_manager
        own = (n for n in manager.commands if n not in ("help", "complete"))
        return {name: manager.find_command(name.split())[0] for name in own}


def setup(app: application.Sphinx) -> dict[str, Any]:
    """Make the directive known to Sphinx."""
    app.add_directive("cliff-commands", CliffCommands)
    return {"parallel_read_safe": True}
