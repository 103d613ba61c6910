# SPDX-License-Identifier: Apache-2.0
"""Nobody begins an effect while a process is about to be frozen."""

import sqlite3
import threading

from glance_tasks.persistence import database as db
from glance_tasks.testing import cuts
from glance_tasks.testing import doubles
from glance_tasks.testing.certification import effects


def test_the_effects_of_others_are_awaited_and_none_begins_meanwhile():
    going, done = effects.Effects(), []
    fence = effects.Fence(doubles.OpenFence(), going)
    asked, go = threading.Event(), threading.Event()

    def work():
        fence.check()
        asked.set()
        assert go.wait(30)
        done.append("effect")
        going.end()
        fence.check()
        done.append("next")

    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(30)
    threading.Timer(0.05, go.set).start()
    # One's own does not matter.
    fence.check()
    with going.none():
        seen = list(done)
        thread.join(0.1)
        assert thread.is_alive()
        assert done == seen == ["effect"]
    thread.join(30)
    assert done == ["effect", "next"]


def test_no_transaction_is_open_while_there_are_to_be_none(tmp_path):
    database = db.Database(f"sqlite:///{tmp_path / 'db'}")
    going, done = effects.Effects(), []

    def work():
        with database.write():
            done.append("begun")

    with going.watching(database.engine):
        with going.none():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join(0.1)
            assert done == []
            # Nor does it hold SQLite's lock while it waits.
            other = sqlite3.connect(tmp_path / "db", timeout=0)
            other.execute("BEGIN IMMEDIATE")
            other.close()
        thread.join(30)
    assert done == ["begun"]
    database.close()


def test_a_cut_inside_leaves_what_is_watched_around_it():
    class Owner:
        def call(self):
            return "plain"

    def around(inner):
        return f"around {inner()}"

    owner = Owner()
    with cuts.replaced(owner, "call", around):
        with cuts.replaced(owner, "call", around):
            assert owner.call() == "around around plain"
        assert owner.call() == "around plain"
    assert owner.call() == "plain"


def test_an_effect_without_an_end_is_not_awaited_for_ever(monkeypatch):
    monkeypatch.setattr(effects, "_PATIENCE_S", 0.01)
    going = effects.Effects()
    thread = threading.Thread(target=going.begin)
    thread.start()
    thread.join()

    with going.none():
        pass
