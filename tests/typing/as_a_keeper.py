# SPDX-License-Identifier: Apache-2.0
"""A task type that is given a secret; never run, only checked."""

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import Atom
from glance_tasks import BuildContext
from glance_tasks import Secret
from glance_tasks import TaskError
from glance_tasks import TaskType


class LogIn(Atom):
    """Log in, if there is something to log in with.

    Nothing to revert: the login ends by itself.
    """

    behaviour = "idempotent"

    def execute(self, credentials: Secret | None = None) -> None:
        """Use the password while it is needed, and keep it nowhere."""
        if credentials is None:
            return
        login = credentials.reveal()
        if login["password"] == "sesame":
            raise TaskError(f"{login['user']} is refused; expected another")


class VisitTask(TaskType):
    """Visit a place that may want a login."""

    input_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "credentials": {
                "type": "object",
                "required": ["user", "password"],
                "properties": {
                    "user": {"type": "string"},
                    "password": {"type": "string", "writeOnly": True},
                },
            },
        },
    }
    result_schema = {"type": "object"}
    secret_inputs = ("credentials",)

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build a graph of one atom."""
        return linear_flow.Flow("visit").add(LogIn(ctx))
