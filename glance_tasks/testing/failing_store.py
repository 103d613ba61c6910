# SPDX-License-Identifier: Apache-2.0
"""A store that fails at the call a test chooses."""

from collections.abc import Collection
from collections.abc import Iterator
import pathlib
from typing import BinaryIO

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.testing import fault


class FailingStore:
    """A store that fails at the ``call``-th of some of its calls.

    Implements :class:`glance_tasks.ports.ImageStore`.
    """

    METHODS = ("preflight", "put", "delete", "size", "open", "keys")

    def __init__(
        self,
        inner: ports.ImageStore,
        *,
        call: int = 1,
        times: int | None = 1,
        of: Collection[str] = ("put", "delete"),
        side: fault.Side = "before",
        error: BaseException | None = None,
    ) -> None:
        """Stand around ``inner``.

        :param call: which of the counted calls fails; the first is 1
        :param times: how many in a row fail from then on; None all of them
        :param of: the methods whose calls are counted together
        :param error: what is raised; a StoreError ``store_unavailable`` when
            None
        :raises ValueError: when no call could be meant
        """
        self._inner = inner
        self._fault = fault.Fault(
            error or exceptions.StoreError("the store was told to fail"),
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

    def preflight(self) -> None:
        """Ask the inner store."""
        self._fault.around("preflight", self._inner.preflight)

    def put(
        self,
        key: str,
        path: pathlib.Path,
        *,
        stop: ports.StopSignal,
        progress: ports.Progress,
        fence: ports.Fence,
    ) -> int:
        """Have the inner store keep the file."""
        return self._fault.around(
            "put",
            lambda: self._inner.put(
                key, path, stop=stop, progress=progress, fence=fence
            ),
        )

    def delete(self, key: str, *, fence: ports.Fence) -> None:
        """Have the inner store delete the object."""
        self._fault.around(
            "delete", lambda: self._inner.delete(key, fence=fence)
        )

    def size(self, key: str) -> int | None:
        """Ask the inner store."""
        return self._fault.around("size", lambda: self._inner.size(key))

    def open(self, key: str) -> BinaryIO:
        """Have the inner store open the object."""
        return self._fault.around("open", lambda: self._inner.open(key))

    def keys(self) -> Iterator[str]:
        """Give the keys of the inner store."""
        found = self._fault.around("keys", lambda: list(self._inner.keys()))
        return iter(found)
