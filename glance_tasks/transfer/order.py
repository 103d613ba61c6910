# SPDX-License-Identifier: Apache-2.0
"""What is to be fetched, and for whom."""

import dataclasses
import hashlib
import pathlib
from typing import Any

from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.transfer import endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """One fetch, as it was asked for.

    :ivar path: where the file is to be; the ledger lies beside it
    :ivar algorithms: of the digests, sorted
    :ivar max_bytes: that the file may have
    :ivar credentials: None reads what anybody may
    """

    uri: str
    path: pathlib.Path
    algorithms: tuple[str, ...]
    max_bytes: int
    stop: ports.StopSignal
    progress: ports.Progress
    credentials: endpoint.Credentials | None = dataclasses.field(
        default=None, repr=False
    )

    @property
    def shown(self) -> str:
        """The address without its secrets."""
        return redaction.plain_uri(self.uri)

    def header(self, identity: endpoint.Identity) -> dict[str, Any]:
        """Give the header of this order's ledger, as JSON.

        It has the address, which may hold secrets, as its SHA-256 only.
        """
        source = hashlib.sha256(self.uri.encode(errors="surrogateescape"))
        return {
            "source": source.hexdigest(),
            "identity": dataclasses.asdict(identity),
            "algorithms": list(self.algorithms),
        }

    def identity(self, record: ledger.Record) -> endpoint.Identity | None:
        """Give what a ledger is about.

        :returns: None when it is not that of an order like this one
        """
        try:
            identity = endpoint.Identity(**record.header["identity"])
        except (KeyError, TypeError):
            return None
        if not _may_be(identity) or self.header(identity) != record.header:
            return None
        return identity

    def check_size(self, size: int) -> None:
        """Check that the file may have ``size`` bytes.

        :raises FetchError: ``source_too_big``, when not
        """
        if size > self.max_bytes:
            raise exceptions.FetchError(
                f"{self.shown} has {size} bytes or more; expected at most"
                f" {self.max_bytes}",
                code="source_too_big",
            )


def _may_be(identity: endpoint.Identity) -> bool:
    """Tell whether a source can have said that; a damaged ledger may not."""
    validator, length = identity.validator, identity.length
    if length is not None and type(length) is not int:
        return False
    return validator is None or (
        isinstance(validator, str)
        and validator.isascii()
        and validator.isprintable()
    )
