# SPDX-License-Identifier: Apache-2.0
"""Directories below a root, entered without following any link."""

from collections.abc import Iterator
import contextlib
import os
import pathlib

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def directory(root: pathlib.Path, inner: pathlib.Path) -> Iterator[int]:
    """Give a descriptor of the directory ``inner`` below ``root``.

    :raises OSError: when it cannot be entered, or a link is on the way
    """
    found = os.open(root, _DIRECTORY)
    try:
        for name in inner.parts:
            deeper = os.open(name, _DIRECTORY, dir_fd=found)
            os.close(found)
            found = deeper
        yield found
    finally:
        os.close(found)
