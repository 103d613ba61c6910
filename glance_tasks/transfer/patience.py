# SPDX-License-Identifier: Apache-2.0
"""Asking a destination again where that is worth it, until told to stop."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import logging
import threading
from typing import TypeVar

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks.transfer import endpoint

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds before each further try: a destination that restarts must not cost
# an upload of hours.
_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)

# The guarded client speaks of sources.
_CODES = {
    "source_not_allowed": "destination_not_allowed",
    "source_denied": "destination_denied",
    "source_too_slow": "destination_too_slow",
    "source_invalid": "destination_invalid",
}


class Halt:
    """A stop signal that the caller can set too; shared by its threads."""

    def __init__(self, stop: ports.StopSignal) -> None:
        """Stop when ``stop`` does, or at :meth:`halt`."""
        self._stop = stop
        self._halted = threading.Event()

    def halt(self) -> None:
        """Make every thread leave at its next look."""
        self._halted.set()

    def check(self) -> None:
        """Return while nobody stops; see the port."""
        if self._halted.is_set():
            raise exceptions.RunInterrupted("the upload has failed")
        self._stop.check()

    @contextlib.contextmanager
    def undoing(self) -> Iterator[None]:
        """Hear no verdict in this thread meanwhile."""
        with self._stop.undoing():
            yield

    def wait(self, seconds: float) -> None:
        """Wait that long, or until there is a reason to leave."""
        self._halted.wait(seconds)
        self.check()


def patiently(
    call: Callable[[ports.StopSignal], T], stop: ports.StopSignal
) -> T:
    """Call, again where that may help; give what it gave.

    :raises SendError: when it does not help
    """
    for pause in (*_PAUSES_S, None):
        try:
            return call(stop)
        except endpoint.Interrupted as error:
            if pause is None:
                raise in_words(error) from error
            LOG.info("%s; again in %g s", error, pause)
            stop.wait(pause)
        except exceptions.FetchError as error:
            raise in_words(error) from error
    raise AssertionError("the last try neither gave nor raised")


def in_words(error: exceptions.FetchError) -> exceptions.SendError:
    """Say of a destination what was said of a source."""
    return exceptions.SendError(
        str(error),
        code=_CODES.get(error.code, "destination_unavailable"),
        detail=error.detail,
    )
