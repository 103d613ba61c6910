# SPDX-License-Identifier: Apache-2.0
"""Sharing an image with many projects in one request."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from taskflow import flow
from taskflow.patterns import linear_flow

from glance_tasks import Atom
from glance_tasks import BuildContext
from glance_tasks import CatalogueError
from glance_tasks import ImageNotFound
from glance_tasks import InvalidInput
from glance_tasks import Lock
from glance_tasks import PlanContext
from glance_tasks import TaskType
from glance_tasks.atoms import owned

# The result is a checkpoint and has 64 KiB.
_MAX_PROJECTS = 256

_PROJECT = {
    "type": "string",
    "minLength": 1,
    "maxLength": 64,
    "pattern": "^[0-9A-Za-z_-]*$",
}


class VerifyProjects(Atom):
    """Ask of each project whether there is one.

    There is nothing to revert.
    """

    behaviour = "idempotent"
    default_provides = "verified"

    def execute(self, projects: Sequence[str]) -> dict[str, bool | None]:
        """Give what is known of each; None where nobody can tell."""
        directory = self.run.projects
        found = {}
        for project in projects:
            self.run.stop.check()
            found[project] = directory.exists(project) if directory else None
        return found


class FindNewMembers(Atom):
    """Find those that the image is not shared with yet.

    It is an atom of its own so that its answer is kept: after a crash in the
    midst of adding them, those that were added are still the new ones.

    There is nothing to revert.
    """

    behaviour = "idempotent"
    default_provides = "new"

    def execute(
        self, image_id: str, verified: Mapping[str, bool | None]
    ) -> list[str]:
        """Give their ids, without those that there are not."""
        image = owned.found(self.run)
        known = {image.owner, *self.run.catalogue.members(image_id)}
        return [
            project
            for project, exists in verified.items()
            if exists is not False and project not in known
        ]


class AddMembers(Atom):
    """Share the image with the new ones.

    Reverting takes them away again, and nobody else.
    """

    behaviour = "idempotent"

    def execute(self, image_id: str, new: Sequence[str]) -> None:
        """Add them all, in one change."""
        try:
            self.run.catalogue.change_members(
                image_id,
                lambda held: {**dict.fromkeys(new, "pending"), **held},
                fence=self.run.fence,
            )
        except ImageNotFound:
            raise CatalogueError(
                f"image {image_id} is not there any more", code="image_gone"
            ) from None

    def revert(
        self, image_id: str, new: Sequence[str] = (), **kwargs: Any
    ) -> None:
        """Take the new ones away."""
        try:
            self.run.catalogue.change_members(
                image_id,
                lambda held: {
                    project: status
                    for project, status in held.items()
                    if project not in new
                },
                fence=self.run.fence,
            )
        except ImageNotFound:
            return


class ShareTask(TaskType):
    """Share an image with many projects at once."""

    input_schema = {
        "type": "object",
        "required": ["image_id", "projects"],
        "additionalProperties": False,
        "properties": {
            "image_id": {"type": "string", "format": "uuid"},
            "projects": {
                "type": "array",
                "items": _PROJECT,
                "minItems": 1,
                "maxItems": _MAX_PROJECTS,
                "uniqueItems": True,
                "description": "Ids of the projects to share it with.",
            },
        },
        "examples": [
            {
                "image_id": "00000000-0000-4000-8000-000000000001",
                "projects": ["one", "another"],
            },
        ],
    }
    result_schema = {
        "type": "object",
        "required": ["projects"],
        "additionalProperties": False,
        "properties": {
            "projects": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id", "outcome", "verified"],
                    "additionalProperties": False,
                    "properties": {
                        "id": _PROJECT,
                        "outcome": {
                            "enum": ["shared", "known", "no_such_project"],
                            "description": "known: the image was its own, or"
                            " shared with it already.",
                        },
                        "verified": {
                            "type": "boolean",
                            "description": "Whether somebody could be asked"
                            " if there is such a project.",
                        },
                    },
                },
            },
        },
    }

    def plan(self, ctx: PlanContext) -> dict[str, Any]:
        """Refuse what cannot be shared, and say which image it is about."""
        image = owned.planned(ctx)
        if image.visibility != "shared":
            raise InvalidInput(
                [
                    (
                        "/image_id",
                        f"image {image.id} is {image.visibility}; only a"
                        " 'shared' one has members",
                    )
                ]
            )
        return {"image_id": image.id}

    def locks(self, ctx: PlanContext) -> list[Lock]:
        """Keep the image from going, and others from its members."""
        return [
            Lock(f"image:{ctx.input['image_id']}"),
            Lock(f"members:{ctx.input['image_id']}", exclusive=True),
        ]

    def build(self, ctx: BuildContext) -> flow.Flow:
        """Build the chain."""
        return linear_flow.Flow("share").add(
            VerifyProjects(ctx), FindNewMembers(ctx), AddMembers(ctx)
        )

    def result(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Say of each project what became of it."""
        return {
            "projects": [
                {
                    "id": project,
                    "outcome": _outcome(project, exists, results["new"]),
                    "verified": exists is not None,
                }
                for project, exists in results["verified"].items()
            ]
        }


def _outcome(project: str, exists: bool | None, new: Sequence[str]) -> str:
    if exists is False:
        return "no_such_project"
    return "shared" if project in new else "known"
