# SPDX-License-Identifier: Apache-2.0
"""Secrets of the input, looked for in everything that is kept or said."""

from collections.abc import Iterator
import contextlib
import logging

import sqlalchemy as sa

from glance_tasks.persistence import models
from glance_tasks.testing.certification import case as cases
from glance_tasks.testing.certification import disturbances
from glance_tasks.testing.certification import ground
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import lives
from glance_tasks.testing.certification import subject

_SUCCEEDING = "success"

#: Where the input itself is, which its owner gave and may see, but for what
#: the type declares as secret.
_GIVEN = "gt_tasks.input"


class Secret(kinds.Kind):
    """Looks for signatures of addresses, for what is ``writeOnly``, and for
    secret inputs.

    In the rows of the database, in what was logged, in files and names.
    """

    name = "secret"
    what = "secrets of the input in results, checkpoints, events, logs, files"

    def variants(self, case: cases.Case) -> list[str]:
        """Give a run that succeeds, and one that fails at each atom."""
        return [_SUCCEEDING, *case.reference.atoms]

    def run(self, case: cases.Case, variant: str) -> Iterator[str]:
        """Run it, and look everywhere."""
        fails = None
        if variant != _SUCCEEDING:
            fails = disturbances.Fails(variant)
        with case.fresh() as place, _listening() as heard:
            declared = subject.declared(place.task_type(), place.given)
            secrets = [
                case.places.mark.partition("=")[2],
                *subject.secrets(place.task_type(), place.given),
                *declared,
            ]
            lives.played(place, fails)
            kept = dict(_kept(place))
        kept["the log"] = "\n".join(heard)
        for where, text in kept.items():
            sought = declared if where == _GIVEN else secrets
            if any(secret in text for secret in sought):
                yield f"a secret of the input is in {where}"


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(self.format(record))


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Hear all that is logged, by whomever, in the place of who else does."""
    heard: list[str] = []
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [_Listener(heard)]
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.setLevel(level)
        root.handlers[:] = before


def _kept(place: ground.Ground) -> Iterator[tuple[str, str]]:
    """Give every text that is kept: by the column or file it is in."""
    with place.engine() as engine:
        yield "the name of a file", "\n".join(place.left(engine))
        with engine.database.read() as connection:
            for table in models.METADATA.sorted_tables:
                for row in connection.execute(sa.select(table)).mappings():
                    for column, value in row.items():
                        where = f"{table.name}.{column}"
                        yield _whose(where, row), str(value)


def _whose(where: str, row: sa.RowMapping) -> str:
    name = row.get("name")
    return f"{where} of {name}" if name else where
