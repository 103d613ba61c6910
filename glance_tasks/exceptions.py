# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong, as one tree of errors and one table of codes.

Callers of the library catch :class:`GlanceTasksError` or one of its
subclasses. An atom raises :class:`TaskError` for whatever the owner of the
task may read; anything else that escapes an atom is reported as ``internal``
with a support id. :data:`FAILURES` holds what every failure code means and
what the owner can do about it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from glance_tasks import failure_codes


class GlanceTasksError(Exception):
    """The root of every error this library raises on purpose."""


# --- wrong use of the library ------------------------------------------------


class InvalidInput(GlanceTasksError):
    """What was submitted does not fit the schema or the rules of its type.

    :ivar errors: ``(pointer, text)`` pairs; the pointer is a JSON pointer
        into the input (RFC 6901), ``""`` for the whole
    """

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__(
            "; ".join(
                f"{pointer or 'input'}: {text}" for pointer, text in errors
            )
        )


class ConfigurationError(GlanceTasksError):
    """An option has a value that cannot work."""


class TaskNotFound(GlanceTasksError):
    """There is no such task, or the requester may not see it."""


class ImageNotFound(GlanceTasksError):
    """The catalogue has no such image."""


class TaskConflict(GlanceTasksError):
    """The task's state does not allow what was asked."""


class TaskTypeNotFound(GlanceTasksError):
    """No task type of that name is installed."""


class BrokenPlugin(GlanceTasksError):
    """A plugin is installed but cannot be loaded or breaks the contract."""


class GraphChanged(GlanceTasksError):
    """A running task's type now builds another graph than at its first run."""


class DatabaseUnreachable(GlanceTasksError):
    """The database does not answer or refuses us."""


class SecretsUnavailable(GlanceTasksError):
    """A secret cannot be kept or read now: its key or its store is away."""


class SchemaBehind(GlanceTasksError):
    """The database's schema is older (or newer) than this release needs."""


# --- the end of a run without an end of the task -----------------------------


class RunInterrupted(BaseException):
    """Leaves a run exactly as a crash would: nothing recorded, resumable.

    A ``BaseException``, because TaskFlow turns every ``Exception`` out of an
    atom into a failure and reverts; a ``BaseException`` leaves
    ``engine.run()`` as it is and the atom stays as it was.
    """


class LeaseLost(RunInterrupted):
    """Another conductor holds the task now; this run must write nothing."""


class DatabaseGone(RunInterrupted):
    """A checkpoint could not be written; the task resumes from the last."""


class TryLater(RunInterrupted):
    """Raised by an ``execute`` that has nothing to do yet for a long time.

    The task is set aside with this reason and the atom tried again every
    minute; meanwhile its conductor runs others.
    """


class UndoLater(TryLater):
    """Raised by a ``revert`` that cannot undo now, as the far end is away.

    The task is set aside with this reason and its undoing tried again every
    minute: it ends when nothing of it is left.
    """


class SecretLocked(RunInterrupted):
    """A secret cannot be read now; the task waits until it can be."""


# --- failures the owner of a task reads --------------------------------------


#: Every failure code the library itself uses, by code.
FAILURES: Mapping[str, failure_codes.FailureCode] = {
    entry.code: entry for entry in failure_codes.CATALOGUE
}


class TaskError(GlanceTasksError):
    """A failure its owner may read: the only one whose text reaches them.

    The text says what happened with the values in it, without a full stop,
    and names no path, host of ours or credential. ``code`` is a key of
    :data:`FAILURES`, or a plugin's own word; for its own a plugin gives
    ``advice`` too.
    """

    code = "internal"

    def __init__(
        self,
        text: str,
        *,
        code: str | None = None,
        retryable: bool | None = None,
        advice: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a failure.

        :param advice: what the owner can do; the catalogue's when None
        :param detail: more for the operator, JSON; never shown to the owner
        """
        super().__init__(text)
        if code is not None:
            self.code = code
        entry = FAILURES.get(self.code, FAILURES["internal"])
        self.retryable = entry.retryable if retryable is None else retryable
        self.advice = entry.advice if advice is None else advice
        self.detail = dict(detail or {})


class FetchError(TaskError):
    """The bytes could not be had from their source."""

    code = "source_unavailable"


class SendError(TaskError):
    """The bytes could not be brought to their destination."""

    code = "destination_unavailable"


class ChecksumMismatch(TaskError):
    """The bytes do not have the digest they should have."""

    code = "checksum_mismatch"


class UploadTruncated(TaskError):
    """Fewer bytes were handed in than there should be."""

    code = "upload_truncated"


class UploadTooBig(TaskError):
    """More bytes are handed in than there may be."""

    code = "upload_too_big"


class ArchiveError(TaskError):
    """The archive cannot be unpacked to one disk image."""

    code = "archive_malformed"


class UnsafeImage(TaskError):
    """The image must not be given to any other program."""

    code = "unsafe_image"


class ConvertError(TaskError):
    """The image could not be converted."""

    code = "convert_failed"


class ScrubError(TaskError):
    """The image could not be scrubbed."""

    code = "scrub_failed"


class DiskFull(TaskError):
    """The work directory has no room."""

    code = "disk_full"


class StoreError(TaskError):
    """The store could not take, give or delete an object."""

    code = "store_unavailable"


class CatalogueError(TaskError):
    """The catalogue could not be read or written."""

    code = "catalogue_unavailable"


class CheckRefused(TaskError):
    """A check step vetoes the image."""

    code = "check_refused"
