# SPDX-License-Identifier: Apache-2.0
"""Sees every connection this process begins, and lets none leave loopback.

CPython tells its audit hooks of ``connect`` before the kernel is asked. They
cannot be taken away again, so there is one, which does nothing outside
:func:`watched`.
"""

from collections.abc import Iterator
import contextlib
import errno
import ipaddress
import sys
from typing import Any

_LISTS: list[list[tuple[str, int]]] = []
_INSTALLED: list[bool] = []


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[str, int]]]:
    """Give the addresses and ports of all connections begun in the block.

    Those that would leave loopback fail as unreachable.
    """
    if not _INSTALLED:
        _INSTALLED.append(True)
        sys.addaudithook(_see)
    begun: list[tuple[str, int]] = []
    _LISTS.append(begun)
    try:
        yield begun
    finally:
        _LISTS.remove(begun)


def _see(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not _LISTS:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return
    for begun in _LISTS:
        begun.append((address[0], address[1]))
    if not ipaddress.ip_address(address[0]).is_loopback:
        raise OSError(errno.ENETUNREACH, "the tests stay on this machine")
