# SPDX-License-Identifier: Apache-2.0
"""Failures as they are stored: few words, scrubbed, always JSON.

TaskFlow would store an exception's arguments, text and traceback as they are:
a password in a message is then in the database, and an argument that is no
JSON wedges the flow for ever.
"""

from collections.abc import Mapping
import time
import traceback
from typing import Any
import uuid

from taskflow.types import failure as taskflow_failure

from glance_tasks import exceptions
from glance_tasks import redaction
from glance_tasks import task

# A frame is some 150 bytes; a runaway recursion has a thousand of them.
MAX_TRACEBACK = 16 * 1024
MAX_TEXT = 2 * 1024

StoredFailure = dict[str, Any]


def reduce(
    failure: taskflow_failure.Failure,
    step: str | None,
    hidden: redaction.Hidden | None = None,
) -> StoredFailure:
    """Give what is kept of a failure of the atom named ``step``.

    A failure that was reduced before, and came back from the database, gives
    the same again.

    :param hidden: texts that must not be in it
    """
    kept = getattr(failure, "stored", None)
    if kept is not None:
        return dict(kept)
    types = list(failure) or ["Exception"]
    known = _of_error(failure.exception, step, types[0], hidden)
    return {
        "at": time.time(),
        "failure": known.to_dict(),
        "types": types,
        "text": redaction.clean(failure.exception_str, MAX_TEXT, hidden),
        "traceback": redaction.clean(
            _traceback(failure), MAX_TRACEBACK, hidden
        ),
        "detail": _detail(failure.exception, hidden),
    }


def restore(stored: Mapping[str, Any]) -> taskflow_failure.Failure:
    """Give TaskFlow a failure back, enough for retries and reverts."""
    failure = taskflow_failure.Failure(
        exception_str=stored["text"],
        traceback_str=stored["traceback"],
        exc_type_names=stored["types"],
    )
    failure.stored = dict(stored)
    return failure


def of_error(error: BaseException, step: str | None = None) -> task.Failure:
    """Put an error into the words its owner may read."""
    return _of_error(error, step, type(error).__name__, None)


def _of_error(
    error: BaseException | None,
    step: str | None,
    type_name: str,
    hidden: redaction.Hidden | None,
) -> task.Failure:
    if isinstance(error, exceptions.TaskError):
        return task.Failure(
            code=error.code,
            summary=redaction.clean(_text(error), MAX_TEXT, hidden),
            advice=redaction.clean(error.advice, MAX_TEXT, hidden),
            retryable=error.retryable,
            step=step,
            support_id=str(uuid.uuid4()) if error.code == "internal" else None,
        )
    entry = exceptions.FAILURES["internal"]
    return task.Failure(
        code=entry.code,
        # The class's name helps and cannot hold a secret; its text might.
        summary=f"{entry.summary} ({type_name.rpartition('.')[2]})",
        advice=entry.advice,
        retryable=entry.retryable,
        step=step,
        support_id=str(uuid.uuid4()),
    )


def _detail(
    error: BaseException | None, hidden: redaction.Hidden | None
) -> dict[str, Any]:
    if not isinstance(error, exceptions.TaskError):
        return {}
    return {
        redaction.clean(_text(key), MAX_TEXT, hidden): redaction.clean(
            _text(value), MAX_TEXT, hidden
        )
        for key, value in error.detail.items()
    }


def _traceback(failure: taskflow_failure.Failure) -> str:
    lines: list[str] = []
    error = failure.exception
    while error is not None and len(lines) < 8:
        lines.append(f"{type(error).__name__}: {_text(error)}")
        lines.append("".join(traceback.format_tb(error.__traceback__)))
        error = error.__cause__
    return "\n".join(lines) if lines else failure.traceback_str or ""


def _text(value: object) -> str:
    try:
        return str(value)
    except BaseException as broken:  # noqa: BLE001 - a foreign __str__
        return f"(its text raised {type(broken).__name__})"
