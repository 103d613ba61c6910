# SPDX-License-Identifier: Apache-2.0
"""A process that is frozen in a transaction does not keep its rows locked."""

import pytest
import sqlalchemy as sa

from glance_tasks import exceptions
from glance_tasks.persistence import database as db
from glance_tasks.persistence import models

HELD = {"resource": "image:1", "task_id": "first"}
HELD |= {"exclusive": True, "granted": True}


@pytest.fixture
def databases(clean_database_url, monkeypatch):
    """Two processes' views of one database, whose patience is a second."""
    monkeypatch.setattr(db, "_FROZEN_S", 1)
    both = db.Database(clean_database_url), db.Database(clean_database_url)
    if both[0].embedded:
        pytest.skip("SQLite's lock goes with its process alone")
    with both[0].write() as connection:
        connection.execute(sa.insert(models.LOCKS), [HELD])
    yield both
    for database in both:
        database.close()


@pytest.mark.parametrize(
    "begun",
    [
        sa.select(models.LOCKS).with_for_update(),
        sa.update(models.LOCKS).values(exclusive=False),
    ],
    ids=["has only locked", "has written"],
)
def test_what_a_frozen_transaction_holds_can_be_had_soon(databases, begun):
    frozen, other = databases
    taken = sa.update(models.LOCKS).values(task_id="second")

    with pytest.raises(exceptions.DatabaseUnreachable), frozen.write() as held:
        held.execute(begun)
        with other.write() as connection:
            assert connection.execute(taken).rowcount == 1

    with other.read() as connection:
        (row,) = connection.execute(sa.select(models.LOCKS)).mappings()
    assert dict(row) == {**HELD, "task_id": "second"}
