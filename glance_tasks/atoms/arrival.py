# SPDX-License-Identifier: Apache-2.0
"""A file that comes from outside, and what is the same however it comes."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import hashlib
import pathlib
import re
from typing import Any
from typing import ClassVar

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.atoms import artifact
from glance_tasks.transfer import cache

_NAME = "fetched"

# An MD5 or a SHA-1 that fits proves nothing.
_CHECKSUM = re.compile(r"(?P<algorithm>sha256|sha384|sha512):(?P<digest>.*)")


def parse_checksum(text: str) -> tuple[str, str]:
    """Take ``ALGORITHM:DIGEST`` apart; the digest comes in lower case.

    :raises ChecksumMismatch: when no bytes could ever have it
    """
    found = _CHECKSUM.fullmatch(text)
    if found is not None:
        algorithm, digest = found["algorithm"], found["digest"].lower()
        size = hashlib.new(algorithm).digest_size * 2
        if re.fullmatch(f"[0-9a-f]{{{size}}}", digest):
            return algorithm, digest
    raise exceptions.ChecksumMismatch(
        f"the checksum {text[:150]!r} is none; expected sha256:, sha384: or"
        " sha512: and as many hexadecimal digits as that has"
    )


class Arrival(plugin.Atom):
    """A step that brings a file into the work directory, with its digests.

    Goes on where an earlier run was cut. Provides ``fetched``.

    :ivar digests: that are computed in any case, by their names in hashlib

    Reverting puts the file by for a retry, or removes it.
    """

    behaviour: ClassVar[plugin.Behaviour] = "resumable"
    in_work_dir: ClassVar[bool] = True
    phase: ClassVar[task.Phase] = task.Phase.TRANSFERRING
    default_provides = "fetched"

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        *,
        digests: Sequence[str] = artifact.ALWAYS,
        **kwargs: Any,
    ) -> None:
        """Keep which digests the artifact is to have.

        :param digests: names of hashlib, at least one of md5, sha256 and
            sha512; that of a checksum is computed anyway. An image that is
            stored as it was fetched needs :data:`artifact.ALWAYS`
        :raises BrokenPlugin: when nothing would tell the bytes from others
        """
        shown = artifact.SHOWN
        if not shown.intersection(digests):
            raise exceptions.BrokenPlugin(
                f"{type(self).__name__} was made with the digests"
                f" {list(digests)}; expected one of"
                f" {', '.join(sorted(shown))} at least"
            )
        super().__init__(ctx, **kwargs)
        self.digests = tuple(digests)

    @property
    def _path(self) -> pathlib.Path:
        return self.run.work_dir / _NAME

    def _arrived(
        self,
        bring: Callable[[tuple[str, ...]], ports.Fetched],
        checksum: str | None,
    ) -> ports.Artifact:
        """Have the file brought, and look that it is the one promised.

        :param bring: is given the digests to compute
        """
        promised = parse_checksum(checksum) if checksum is not None else None
        with self._held():
            # It may replace files, which a successor may have made.
            self.run.fence.check()
            algorithms = (*self.digests, *(promised or ())[:1])
            try:
                fetched = bring(algorithms)
            except exceptions.DiskFull:
                # What is kept for others' retries goes first.
                kept = self.run.cache
                if kept is None or not kept.empty():
                    raise
                fetched = bring(algorithms)
            if promised is not None:
                self._verify(fetched, *promised)
        return artifact.described(_NAME, fetched.size, fetched.digests)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Say that the lease is lost where that is why files are gone.

        A successor of a frozen process moves its work directory away.
        """
        try:
            yield
        except OSError:
            self.run.fence.check()
            raise

    def _verify(
        self, fetched: ports.Fetched, algorithm: str, promised: str
    ) -> None:
        found = fetched.digests[algorithm]
        if found == promised:
            return
        self._remove()
        raise exceptions.ChecksumMismatch(
            f"the {fetched.size} bytes received have the {algorithm} {found};"
            f" expected {promised}"
        )

    def _remove(self) -> None:
        self.run.fence.check()
        ledger.remove(self._path)

    def holds(self, result: Any) -> bool:
        """Tell whether the copy is still there with all its bytes."""
        try:
            return bool(self._path.lstat().st_size == result["size"])
        except (OSError, TypeError, KeyError):
            return False

    def revert(self, **kwargs: Any) -> None:
        """Put the copy by for a retry, or remove it with its ledger."""
        self.run.fence.check()
        if self.run.cache is not None:
            cache.put_by(self._path)
        self._remove()

    def _lent(self) -> tuple[str, int] | None:
        """Take what a task that this one retries had, as it is."""
        kept = self.run.cache
        return kept.lend(self.run.reuses, self._path) if kept else None

    def _reused(self, size: int, whose: str) -> None:
        self.run.events.append(
            "reused", f"{size} bytes that task {whose} had", atom=self.name
        )
