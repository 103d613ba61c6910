# SPDX-License-Identifier: Apache-2.0
"""Images that are there already, as far as a task's owner may use them."""

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ports


def planned(ctx: context.PlanContext, *, hidden: bool = False) -> ports.Image:
    """Give the image that ``image_id`` of the input names, for a ``plan``.

    One of another project is not there, unless the operator asks.

    :param hidden: whether it may be one that is not active
    :raises InvalidInput: when there is none
    """
    image_id = ctx.input["image_id"]
    try:
        found = ctx.catalogue.get(image_id, hidden=hidden)
    except exceptions.ImageNotFound:
        raise _unknown(image_id) from None
    if ctx.owner not in ("", found.owner):
        raise _unknown(image_id)
    return found


def found(run: context.BuildContext, *, hidden: bool = False) -> ports.Image:
    """Give the image of a task that runs.

    :param hidden: whether it may be one that is not active
    :raises CatalogueError: when it is gone, or the catalogue fails
    """
    image_id = run.plan["image_id"]
    try:
        return run.catalogue.get(image_id, hidden=hidden)
    except exceptions.ImageNotFound:
        raise exceptions.CatalogueError(
            f"image {image_id} is not there any more", code="image_gone"
        ) from None


def _unknown(image_id: str) -> exceptions.InvalidInput:
    return exceptions.InvalidInput(
        [("/image_id", f"there is no image {image_id}")]
    )
