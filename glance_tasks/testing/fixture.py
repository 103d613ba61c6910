# SPDX-License-Identifier: Apache-2.0
"""What all fixtures here have in common: errors that are what they are."""

import contextlib
from typing import Any
from typing import TypeVar

import fixtures

_Value = TypeVar("_Value")


class PlainFixture(fixtures.Fixture):
    """A fixture whose ``setUp`` raises what went wrong, not a list of it."""

    def setUp(self) -> None:
        """Set up, or clean up and raise the first error.

        ``fixtures`` raises MultipleExceptions, which no suite can tell from
        another one: an absent server could not be skipped.
        """
        try:
            super().setUp()
        except fixtures.MultipleExceptions as errors:
            first: BaseException = errors.args[0][1]
        else:
            return
        raise first

    def getDetails(self) -> dict[str, Any]:
        """Give the details; none before it is set up and after it is gone.

        A fixture that uses this one asks, when this one cannot be set up.
        """
        return {} if self._details is None else super().getDetails()

    def _enter(
        self, context: contextlib.AbstractContextManager[_Value]
    ) -> _Value:
        """Enter a context, to be left when the fixture is cleaned up."""
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value
