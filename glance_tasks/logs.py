# SPDX-License-Identifier: Apache-2.0
"""Keeps secrets out of logs, ours and TaskFlow's.

TaskFlow logs the exceptions of atoms as they are, with their tracebacks: the
password of an address is then in the log, and half of a surrogate pair makes
a log no UTF-8.
"""

import logging
import traceback

from glance_tasks import redaction

#: Whose loggers may be told secrets: our packages, and what runs our atoms.
GUARDED = ("glance_tasks", "glance_tasks_flows", "taskflow")


class RedactingFilter(logging.Filter):
    """Takes credentials, and what running tasks hide, out of log records.

    For handlers, and for single loggers: those of a logger do not see what
    its children log. Lets every record pass, never raises, and is safe to
    share between threads.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the record's whole text into its message, redacted."""
        record.msg, record.args = _clean(_message(record)), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _traceback(record)
        # A formatter that makes its own text of it would show all.
        record.exc_info = None
        if record.exc_text:
            record.exc_text = _clean(record.exc_text)
        if record.stack_info:
            record.stack_info = _clean(record.stack_info)
        return True


_FILTER = RedactingFilter()


def guard() -> None:
    """Put the filter on every logger of :data:`GUARDED` there is; again is
    harmless.

    No other logger and no handler is touched.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in GUARDED:
            logging.getLogger(name).addFilter(_FILTER)


def guard_handlers() -> None:
    """Put the filter on the handlers of the root logger, for all that logs.

    For a process that is ours alone.
    """
    for handler in logging.getLogger().handlers:
        handler.addFilter(_FILTER)


def _clean(text: str) -> str:
    whole = text.encode("utf-8", "backslashreplace").decode()
    return redaction.redact_all(whole)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except BaseException as error:  # noqa: BLE001 - a foreign __str__
        return f"(a message that raised {type(error).__name__})"


def _traceback(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except BaseException as error:  # noqa: BLE001 - a foreign __str__
        return f"(a traceback that raised {type(error).__name__})"
