# SPDX-License-Identifier: Apache-2.0
"""A task type that is given a secret, and does with it what it is told."""

import os
import signal
from typing import Any

from taskflow.patterns import linear_flow

import glance_tasks as gt
from tests.support import task_types

#: Looked for everywhere; as JSON, Python and a URL write it, it differs.
CANARY = 'c4n4ry "of/Kohlmeise" é+\\'
USER = "a-mere-user"

CREDENTIALS = {"user": USER, "password": CANARY}


def raised(secret: str) -> Exception:
    """Give an error that holds a secret in every way an atom could."""
    error = ValueError(f"login as {secret} failed", secret, {"was": secret})
    error.add_note(f"the note of {secret}")
    error.__cause__ = OSError(f"http://user:{secret}@store.example/ is away")
    return error


class UseSecret(task_types.Mark):
    """Leave a file of what the secret is, and fail if told so.

    Reverting asks for the secret again.
    """

    def execute(
        self,
        credentials: gt.Secret | None = None,
        source: str | None = None,
        shown: str = "",
    ) -> dict[str, Any]:
        """Note what came; end as the input says."""
        world, told = self.world, self.run.input.get("kind", "")
        if credentials is None:
            world.note("no secret")
            return {}
        password = credentials.reveal()["password"]
        world.note("revealed" if password == CANARY else "another")
        world.note(f"source {source == address()}")
        self.run.events.append("noted", f"it is {password}")
        if told == "kill" and not world.gate_open:
            os.kill(os.getpid(), signal.SIGKILL)
        if told == "raise":
            raise raised(password)
        if told == "tell":
            raise gt.TaskError(
                f"{password} was refused",
                advice=f"Give another than {password!r}",
                detail={"tried": password, password: repr(credentials)},
            )
        if told == "later":
            raise gt.UndoLater(f"{password} does not do now")
        gives = {"secret": credentials, "value": [password], "url": source}
        return {"gives": gives.get(told, "nothing")}

    def revert(
        self, credentials: gt.Secret | None = None, **kwargs: Any
    ) -> None:
        """Note that the secret is there still."""
        if credentials is not None:
            password = credentials.reveal()["password"]
            self.world.note("undone" if password == CANARY else "another")


def address() -> str:
    """Give an address with a password and a signature."""
    return "http://user:pa55-c4n4ry@source.example/a?sig=51g-c4n4ry&b=1"


class SecretTask(gt.TaskType):
    """Two atoms, the first of which uses a secret."""

    input_schema = {
        **task_types.INPUT,
        "properties": {
            **task_types.INPUT["properties"],
            "credentials": {
                "type": "object",
                "required": ["password"],
                "properties": {
                    "user": {"type": "string"},
                    "password": {
                        "type": "string",
                        "minLength": 4,
                        "writeOnly": True,
                    },
                },
            },
            "source": {"type": "string", "format": "uri"},
        },
    }
    result_schema = {"type": "object"}
    secret_inputs = ("credentials",)

    def build(self, ctx: gt.BuildContext) -> linear_flow.Flow:
        """Build the row."""
        return linear_flow.Flow("secret").add(
            UseSecret(ctx, provides="used"),
            task_types.Mark(ctx, name="step-1"),
        )


TYPES = {**task_types.TYPES, "secret": SecretTask}
