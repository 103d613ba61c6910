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
import dataclasses
from typing import Any


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


class UndoLater(RunInterrupted):
    """Raised by a ``revert`` that cannot undo now, as the far end is away.

    The task is set aside with this reason and its undoing tried again every
    minute: it ends when nothing of it is left.
    """


# --- failures the owner of a task reads --------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class FailureCode:
    """What one failure code means.

    :ivar summary: one sentence: what happened
    :ivar advice: one sentence: what the owner can do
    :ivar retryable: whether the same input may succeed later
    """

    code: str
    summary: str
    advice: str
    retryable: bool


_CODES = (
    FailureCode(
        "source_not_allowed",
        "the source's scheme, port, address or path is not permitted here",
        "Use a public address, or ask the operator which sources are allowed",
        False,
    ),
    FailureCode(
        "source_not_found",
        "the source has no such file",
        "Check the address of the source and submit the task again",
        False,
    ),
    FailureCode(
        "source_denied",
        "the source refuses to hand out the file",
        "Make the file readable without a login, or use a signed address",
        False,
    ),
    FailureCode(
        "source_unavailable",
        "the source could not be reached or answered with an error of its own",
        "Retry the task when the source works again",
        True,
    ),
    FailureCode(
        "source_cut",
        "the source ended the transfer before all bytes had come",
        "Retry the task; if it happens again the source is broken",
        True,
    ),
    FailureCode(
        "source_too_slow",
        "the source sent nothing, or too little, for too long",
        "Retry the task later, or use a faster source",
        True,
    ),
    FailureCode(
        "source_too_big",
        "the source is larger than this service takes",
        "Import a smaller image, or ask the operator to raise the limit",
        False,
    ),
    FailureCode(
        "source_changed",
        "the source kept changing while it was read",
        "Retry the task when the file at the source is final",
        True,
    ),
    FailureCode(
        "source_invalid",
        "the source's answer does not follow the protocol",
        "Use another source; this one breaks the rules of HTTP",
        False,
    ),
    FailureCode(
        "checksum_mismatch",
        "the bytes received do not have the digest that was given",
        "Check the digest; if it is right, the file at the source is not",
        False,
    ),
    FailureCode(
        "format_mismatch",
        "the image is not in the format that was declared",
        "Submit the task again with the format the image really has",
        False,
    ),
    FailureCode(
        "archive_malformed",
        "the archive is damaged or contradicts itself",
        "Check the archive with the program that made it, or make it anew",
        False,
    ),
    FailureCode(
        "archive_unfit",
        "the archive is not one plain disk image, packed once",
        "Pack the disk image alone, without a password, links or an archive"
        " in it",
        False,
    ),
    FailureCode(
        "unpack_size_limit",
        "the archive unpacks to more than this service takes",
        "Import a smaller disk, or ask the operator to raise the limit",
        False,
    ),
    FailureCode(
        "unpack_ratio_limit",
        "the archive unpacks to more than an archive of its size may",
        "Import the disk image unpacked, or as a qcow2",
        False,
    ),
    FailureCode(
        "unpack_memory_limit",
        "the archive needs more memory to be unpacked than it may use",
        "Compress the disk image again with a smaller window or dictionary",
        False,
    ),
    FailureCode(
        "image_malformed",
        "the image's own headers are damaged or contradict each other",
        "Check the file, for example by converting it anew, and try again",
        False,
    ),
    FailureCode(
        "unsafe_image",
        "the image refers to something outside itself or hides another format",
        "Flatten the image into one plain file without references",
        False,
    ),
    FailureCode(
        "virtual_size_exceeded",
        "the disk inside the image is larger than this service takes",
        "Import a smaller disk, or ask the operator to raise the limit",
        False,
    ),
    FailureCode(
        "check_refused",
        "a check that this service makes of every image refused it",
        "Read the reason given, change the image accordingly and try again",
        False,
    ),
    FailureCode(
        "convert_failed",
        "the image could not be converted",
        "Check the image with qemu-img; it may be damaged",
        False,
    ),
    FailureCode(
        "convert_timeout",
        "the conversion took longer than an image of its size may",
        "Retry the task; if it happens again, convert the image beforehand",
        True,
    ),
    FailureCode(
        "convert_cpu_limit",
        "the conversion used more processor time than it may",
        "Convert the image beforehand and import the result",
        False,
    ),
    FailureCode(
        "convert_memory_limit",
        "the conversion needed more memory than it may use",
        "Convert the image beforehand and import the result",
        False,
    ),
    FailureCode(
        "convert_size_limit",
        "the converted image grew larger than it may",
        "Convert the image beforehand and import the result",
        False,
    ),
    FailureCode(
        "disk_full",
        "this service ran out of room for the image while working on it",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "store_full",
        "the image store has no room for the image",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "store_unavailable",
        "the image store cannot be written to",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "catalogue_unavailable",
        "the image catalogue does not answer",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "image_exists",
        "an image with this id exists already",
        "Submit the task again with another id, or without one",
        False,
    ),
    FailureCode(
        "plugin_failed",
        "the task type could not be set up",
        "Tell the operator the id of this task",
        True,
    ),
    FailureCode(
        "result_invalid",
        "the task ended with a result that its own type does not allow",
        "Tell the operator the id of this task",
        False,
    ),
    FailureCode(
        "gave_up",
        "the service died again and again while it worked on this task",
        "Retry the task once; if it fails again, tell the operator its id",
        True,
    ),
    FailureCode(
        "internal",
        "something failed that the service has no better word for",
        "Tell the operator the support id",
        True,
    ),
)

#: Every failure code the library itself uses, by code.
FAILURES: Mapping[str, FailureCode] = {entry.code: entry for entry in _CODES}


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


class ChecksumMismatch(TaskError):
    """The bytes do not have the digest they should have."""

    code = "checksum_mismatch"


class ArchiveError(TaskError):
    """The archive cannot be unpacked to one disk image."""

    code = "archive_malformed"


class UnsafeImage(TaskError):
    """The image must not be given to any other program."""

    code = "unsafe_image"


class ConvertError(TaskError):
    """The image could not be converted."""

    code = "convert_failed"


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
