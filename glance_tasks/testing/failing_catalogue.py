# SPDX-License-Identifier: Apache-2.0
"""A catalogue that fails at the call a test chooses."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence

from glance_tasks import exceptions
from glance_tasks import locations
from glance_tasks import ports
from glance_tasks.testing import fault


class FailingCatalogue:
    """A catalogue that fails at the ``call``-th of some of its calls.

    Implements :class:`glance_tasks.ports.ImageCatalog`.
    """

    METHODS = (
        *("publish", "withdraw", "change_locations", "change_members"),
        *("members", "get", "find"),
    )

    def __init__(
        self,
        inner: ports.ImageCatalog,
        *,
        call: int = 1,
        times: int | None = 1,
        of: Collection[str] = ("publish", "withdraw"),
        side: fault.Side = "before",
        error: BaseException | None = None,
    ) -> None:
        """Stand around ``inner``; see :class:`FailingStore`.

        :param error: what is raised; a CatalogueError when None
        :raises ValueError: when no call could be meant
        """
        self._inner = inner
        self._fault = fault.Fault(
            error
            or exceptions.CatalogueError("the catalogue was told to fail"),
            known=self.METHODS,
            of=of,
            call=call,
            times=times,
            side=side,
        )

    @property
    def calls(self) -> list[str]:
        """The methods that were counted, in the order of their calls."""
        return list(self._fault.calls)

    def publish(self, image: ports.Image, fence: int) -> None:
        """Have the inner catalogue show the image."""
        self._fault.around(
            "publish", lambda: self._inner.publish(image, fence)
        )

    def withdraw(self, image_id: str, fence: int) -> None:
        """Have the inner catalogue remove the image."""
        self._fault.around(
            "withdraw", lambda: self._inner.withdraw(image_id, fence)
        )

    def change_locations(
        self,
        image_id: str,
        change: locations.Change,
        *,
        fence: ports.Fence | None = None,
    ) -> ports.Image:
        """Have the inner catalogue change where the data is."""
        return self._fault.around(
            "change_locations",
            lambda: self._inner.change_locations(
                image_id, change, fence=fence
            ),
        )

    def members(self, image_id: str) -> ports.Members:
        """Ask the inner catalogue."""
        return self._fault.around(
            "members", lambda: self._inner.members(image_id)
        )

    def change_members(
        self,
        image_id: str,
        change: Callable[[ports.Members], ports.Members],
        *,
        fence: ports.Fence | None = None,
    ) -> ports.Members:
        """Have the inner catalogue change with whom an image is shared."""
        return self._fault.around(
            "change_members",
            lambda: self._inner.change_members(image_id, change, fence=fence),
        )

    def get(self, image_id: str, *, hidden: bool = False) -> ports.Image:
        """Ask the inner catalogue."""
        return self._fault.around(
            "get", lambda: self._inner.get(image_id, hidden=hidden)
        )

    def find(
        self,
        *,
        limit: int = 25,
        marker: str | None = None,
        hidden: bool = False,
    ) -> Sequence[ports.Image]:
        """Ask the inner catalogue."""
        return self._fault.around(
            "find",
            lambda: self._inner.find(
                limit=limit, marker=marker, hidden=hidden
            ),
        )
