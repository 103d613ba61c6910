# SPDX-License-Identifier: Apache-2.0
"""No log record shows a secret, and none breaks the log."""

import io
import logging
import sys

import pytest

from glance_tasks import logs
from glance_tasks import redaction

CANARY = "c4n4ry-of-logs"
ADDRESS = f"http://user:{CANARY}@host/a"


@pytest.fixture
def stream():
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


@pytest.fixture
def log(stream):
    """Give a logger of its own that writes to the stream."""
    logger = logging.Logger("any", logging.DEBUG)
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.RedactingFilter())
    logger.addHandler(handler)
    return logger


def written(stream):
    stream.flush()
    return stream.buffer.getvalue().decode()


def test_a_message_its_arguments_and_its_stack_are_redacted(log, stream):
    log.warning("from %s", ADDRESS, stack_info=True)
    log.warning(f"from {ADDRESS}")
    log.warning("%(uri)s", {"uri": ADDRESS})

    assert written(stream).count("//***@host/a") >= 3
    assert CANARY not in written(stream)


def test_a_traceback_is_redacted_to_its_last_cause(log, stream):
    try:
        try:
            raise OSError(ADDRESS)
        except OSError as error:
            error.add_note(f"note of {ADDRESS}")
            raise ValueError(f"of {ADDRESS}") from error
    except ValueError:
        log.exception("it failed")

    assert "OSError: http://***@host/a" in written(stream)
    assert "ValueError: of http://***@host/a" in written(stream)
    assert "note of" in written(stream)
    assert CANARY not in written(stream)


def test_what_a_run_hides_is_struck_in_every_form(log, stream):
    text = f'{CANARY} "é\\'
    hidden = redaction.Hidden([text])

    log.error("%s and %r", text, [text, text.encode()])

    assert CANARY not in written(stream)
    hidden.clear()
    log.error("%s", CANARY)
    assert CANARY in written(stream)


def test_a_formatter_of_its_own_gets_no_exception(log, stream):
    class Own(logging.Formatter):
        """Make another text of the exception, as oslo.log does."""

        def format(self, record):
            """Show what there is."""
            return f"{record.exc_info} {record.exc_text} {record.args}"

    log.handlers[0].setFormatter(Own())
    try:
        raise ValueError(ADDRESS)
    except ValueError:
        log.error("with %s", ADDRESS, exc_info=sys.exc_info())

    assert written(stream).startswith("None Traceback")
    assert CANARY not in written(stream)


def test_half_of_a_surrogate_pair_breaks_no_log(log, stream):
    try:
        raise ValueError("half \ud800")
    except ValueError:
        log.exception("with \udfff")

    assert "with \\udfff" in written(stream)
    assert "half \\ud800" in written(stream)


class Rude:
    """Has no text."""

    def __str__(self):
        raise SystemExit("I have no text")


class RudeError(Exception):
    """Has no text either."""

    __str__ = Rude.__str__


@pytest.mark.parametrize(
    ("message", "args"),
    [("%s", (Rude(),)), (Rude(), ()), ("%d", ("no number",)), ("%s %s", (1,))],
)
def test_what_has_no_text_is_logged_all_the_same(log, stream, message, args):
    log.error(message, *args)

    assert "(a message that raised" in written(stream)


def test_an_exception_without_a_text_is_logged_all_the_same(log, stream):
    try:
        raise RudeError
    except RudeError:
        log.exception("it failed")

    assert "it failed" in written(stream)
    assert "RudeError" in written(stream)


def test_only_our_loggers_and_taskflows_are_guarded():
    names = ["taskflow.x.y", "glance_tasks.x", "glance_tasks_flows.x"]
    foreign = ["glance.x", "taskflows.x", "requests"]
    for name in names + foreign:
        logging.getLogger(name)

    logs.guard()
    logs.guard()

    def guards(name):
        kept = logging.getLogger(name).filters
        return [type(f) for f in kept].count(logs.RedactingFilter)

    assert [guards(name) for name in names] == [1, 1, 1]
    assert [guards(name) for name in foreign] == [0, 0, 0]
    assert not logging.getLogger().filters
