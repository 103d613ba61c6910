# SPDX-License-Identifier: Apache-2.0
"""What breaks tasks of every type but import, one fault each, told in words.

The faults of imports are in ``test_import_failures``.
"""

import collections
import pathlib
import re
import socket
import threading

import pytest

import glance_tasks as gt
from glance_tasks import failure_codes
from glance_tasks import reaper
from glance_tasks import redaction
from glance_tasks import testing
from glance_tasks.atoms import copy
from glance_tasks.atoms import delete
from glance_tasks_flows import sharing
from tests.support import destinations
from tests.support import engines
from tests.support import faults
from tests.support import making
from tests.support import meddling
from tests.support import placed
from tests.support import stops

READ, COPY = "ReadImage", "CopyToStore-far"
MARK, AWAIT, BEGIN, DATA = (
    *("MarkDeletion", "AwaitDeletion", "BeginDeletion", "ScrubData"),
)
VERIFY, FIND, MEMBERS = "VerifyProjects", "FindNewMembers", "AddMembers"
NO_STORE, NO_CATALOGUE = "store_unavailable", "catalogue_unavailable"
CLONE = making.CLONE

#: name: what is arranged, the step that fails, its code, words of the message
COPYING = {
    "gone": (meddling.gone, READ, "image_not_found", "there is no image"),
    "gone meanwhile": (
        meddling.gone_behind("far", "put"),
        *(COPY, "image_gone", "not there any more"),
    ),
    "damaged": CLONE["damaged"],
    "short": CLONE["short"],
    "lost": CLONE["lost"],
    "no copy like it": CLONE["no copy like it"],
    "a store that gives nothing": CLONE["a store that gives nothing"],
    "a store nobody knows": CLONE["a store nobody knows"],
    "no store to copy to": (
        faults.unknown("far"),
        *(COPY, NO_STORE, "no store 'far' here"),
    ),
    "no catalogue": CLONE["no catalogue"],
    "no announcement": (
        faults.away("catalogue", "change_locations", times=1),
        *(COPY, NO_CATALOGUE, "does not answer change_locations"),
    ),
    "no end": (
        faults.away(
            *("catalogue", "change_locations"),
            call=2,
            times=1,
            side="after",
            error=gt.CatalogueError("its answer was lost"),
        ),
        *(COPY, NO_CATALOGUE, "its answer was lost"),
    ),
    "no room here": CLONE["no room"],
    "no room there": (
        faults.small("store-far", 64 << 10),
        *(COPY, "store_full", "no space is left"),
    ),
    "a full store": (
        faults.away("far", "put", error=faults.FULL),
        *(COPY, "store_full", "No space left on device"),
    ),
    "a broken store": (
        faults.away("far", "put", error=faults.BROKEN),
        *(COPY, NO_STORE, "Input/output error"),
    ),
    "a store that loses": (
        faults.too_few("far"),
        *(COPY, NO_STORE, f"took {len(placed.CONTENT) - 1} bytes"),
    ),
    "a store that keeps all": (
        faults.stubborn("far", COPY, faults.too_few("far")),
        *(COPY, NO_STORE, "Could not be undone: CopyToStore-far: far does"),
    ),
    "taken away": (
        faults.unmoved("far"),
        *(COPY, "location_conflict", "in far is not there"),
    ),
    "a slow store": (
        stops.hangs("far", copy.CopyToStore),
        *(COPY, "step_deadline_passed", "CopyToStore-far took longer"),
    ),
    **stops.stops("copy", COPY, "far", "put"),
}
DELETE = {
    "protected": (
        meddling.protected,
        *(MARK, "image_protected", "is protected"),
    ),
    "the last one": (
        meddling.last_one,
        *(MARK, "image_protected", "the last one of image"),
    ),
    "gone": (meddling.gone, MARK, "image_gone", "not there any more"),
    "undone": (
        meddling.undone("change_locations", 1, delay=3600),
        AWAIT,
        "deletion_undone",
        "AwaitDeletion: ",
    ),
    "undone late": (
        meddling.undone("get", 2),
        *(BEGIN, "deletion_undone", "BeginDeletion: "),
    ),
    "no catalogue": (
        faults.away("catalogue", "get"),
        *(MARK, NO_CATALOGUE, "MarkDeletion: catalogue does not answer get"),
    ),
    "no announcement": (
        faults.away("catalogue", "change_locations", times=1),
        *(MARK, NO_CATALOGUE, "does not answer change_locations"),
    ),
    "no look": (
        faults.away("catalogue", "get", call=2),
        *(AWAIT, NO_CATALOGUE, "AwaitDeletion: catalogue does not answer"),
    ),
    "no beginning": (
        faults.away("catalogue", "change_locations", call=2, times=1),
        *(BEGIN, NO_CATALOGUE, "BeginDeletion: catalogue does not answer"),
    ),
    "no place": (
        faults.away("catalogue", "get", call=3),
        *(DATA, NO_CATALOGUE, "ScrubData: catalogue does not answer get"),
    ),
    "no end": (
        faults.away("catalogue", "change_locations", call=3, times=1),
        *(DATA, NO_CATALOGUE, "ScrubData: catalogue does not answer change"),
    ),
    "a store that keeps all": (
        faults.away("fast", "delete"),
        *(DATA, NO_STORE, "fast does not answer delete"),
    ),
    "a store nobody knows": (
        faults.unknown("cheap", "cheap"),
        *(DATA, NO_STORE, "no store 'cheap' here"),
    ),
    "too long a wait": (
        stops.waits(delete.AwaitDeletion),
        *(AWAIT, "step_deadline_passed", "AwaitDeletion took longer than"),
    ),
    **stops.stops("delete", MARK, "catalogue", "change_locations"),
}
SHARE = {
    "gone": (meddling.gone, FIND, "image_gone", "FindNewMembers: image"),
    "gone meanwhile": (
        meddling.gone_behind("catalogue", "members"),
        *(MEMBERS, "image_gone", "AddMembers: image"),
    ),
    "no catalogue": (
        faults.away("catalogue", "get"),
        *(FIND, NO_CATALOGUE, "does not answer get"),
    ),
    "no members": (
        faults.away("catalogue", "members"),
        *(FIND, NO_CATALOGUE, "does not answer members"),
    ),
    "no change": (
        faults.away("catalogue", "change_members", times=1),
        *(MEMBERS, NO_CATALOGUE, "does not answer change_members"),
    ),
    "a change that is not answered": (
        faults.away(
            *("catalogue", "change_members"),
            times=1,
            side="after",
            error=gt.CatalogueError("its answer was lost"),
        ),
        *(MEMBERS, NO_CATALOGUE, "its answer was lost"),
    ),
    "a slow directory": (
        stops.slow_directory(sharing.VerifyProjects),
        *(VERIFY, "step_deadline_passed", "VerifyProjects took longer than"),
    ),
    **stops.stops("share", MEMBERS, "catalogue", "change_members"),
}
TABLES = {
    "export": destinations.EXPORT,
    "clone": CLONE,
    "convert": making.CONVERTING,
    "copy": COPYING,
    "upload": making.UPLOAD,
    "delete": DELETE,
    "share": SHARE,
}
CASES = {
    (kind, name): case
    for kind, table in TABLES.items()
    for name, case in table.items()
}
KNOWN = {entry.code for entry in failure_codes.CATALOGUE}
RUNBOOK = pathlib.Path(__file__).parents[2] / "doc/source/admin/runbook.rst"
PATHS = re.compile(r"/(tmp|root|home|var|usr|work|etc|proc|dev|opt)\b")


def play(stage, given):
    """Play a task to its end; give it, and how everything was before."""
    engine = stage.kit.engine
    task = engine.submit(stage.kind, given, owner="demo")
    stage.hand_in(task)
    for act in stage.between:
        act(task)
    before = stage.world()
    for act in stage.broken:
        act(task)
    beside = threading.Thread(target=stage.meanwhile)
    beside.start()
    ended = stage.play(task)
    beside.join()
    stage.monkeypatch.undo()
    return ended, before


def told(stage, task, given):
    """Give all that the owner reads, but for the address it gave itself."""
    failure = task.failure
    words = [task.message, failure.summary, failure.advice]
    words += failure.left_behind
    words += [
        event.text
        for event in stage.kit.engine.events(task.id)
        if event.kind in ("atom_failed", "revert_failed", "failed")
    ]
    text = "\n".join(words)
    address = redaction.plain_uri(given.get("export_to", ""))
    return text.replace(address, "") if address else text


def require_no_leaks(stage, text):
    assert not PATHS.search(text), text
    assert str(stage.home) not in text
    assert faults.CANARY not in text
    assert "Traceback" not in text
    assert "0x7f" not in text
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)


def require_nothing_left(stage, task, before):
    """Look for what is left; what is must be named."""
    steps = [line.partition(":")[0] for line in task.failure.left_behind]
    assert steps == stage.left
    found = testing.find_leftovers(stage.kit.engine)
    found = [line for line in found if not stage.is_foreign(line)]
    if task.failure.step != DATA:
        assert (bool(found) or stage.unlike(before)) is stage.stays, found
        return
    # Nothing undoes a deletion that has begun; a retry goes on with it.
    catalogue = stage.kit.engine.catalogue
    (image,) = catalogue.find(hidden=True)
    assert (image.status, catalogue.find()) == ("pending_delete", [])
    assert found == []


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_what_breaks_a_task_is_told_and_leaves_nothing(
    tmp_path, monkeypatch, kind, name
):
    arrange, step, code, words = CASES[kind, name]
    with faults.staged(kind, tmp_path, monkeypatch) as stage:
        given = arrange(stage)
        task, before = play(stage, given)
        failure = task.failure

        assert task.status == "failure"
        assert (failure.code, failure.step) == (code, step), task.message
        assert words in task.message
        assert failure.advice in task.message
        assert failure.support_id is None
        require_no_leaks(stage, told(stage, task, given))
        shown = (task, stage.kit.engine.events(task.id))
        assert faults.CANARY not in repr(shown)
        assert faults.CANARY not in repr(engines.dump(stage.kit.engine))
        require_nothing_left(stage, task, before)


# --- while bytes are handed in -----------------------------------------------


#: name: what is arranged, the code of what the service is told, words of it
AT_THE_DOOR = {
    "too many": (
        meddling.announced(1000),
        *("upload_too_big", "more than 1000 bytes"),
    ),
    "too few": (
        meddling.cut_short,
        *("upload_truncated", f"after {len(placed.CONTENT)} of 1048576"),
    ),
    "no room": (faults.small("staging", 64 << 10), "disk_full", "no room"),
    "no directory": (
        meddling.no_staging,
        *(NO_STORE, "cannot be kept: Not a directory"),
    ),
}


@pytest.mark.parametrize("name", AT_THE_DOOR)
def test_what_breaks_while_bytes_are_handed_in_is_told(
    tmp_path, monkeypatch, name
):
    arrange, code, words = AT_THE_DOOR[name]
    with faults.staged("upload", tmp_path, monkeypatch) as stage:
        given = arrange(stage)
        engine = stage.kit.engine
        task = engine.submit("upload", given, owner="demo")

        with pytest.raises(gt.TaskError) as caught:
            stage.hand_in(task)
        engine.cancel(task.id)
        parts = engine.vault, engine.store
        reaper.reap(engine.database, (engine.area, engine.staging), *parts)

        assert caught.value.code == code
        assert words in str(caught.value)
        require_no_leaks(stage, f"{caught.value}. {caught.value.advice}")
        assert testing.find_leftovers(engine) == []


@pytest.mark.parametrize(
    "leak",
    [
        *("no /var/lib/images/1", "Traceback (most", "<Image at 0x7f31>"),
        *(f"http://a:{faults.CANARY}@b", f"on {socket.gethostname()}:"),
    ],
)
def test_a_leak_would_be_seen(tmp_path, monkeypatch, leak):
    with (
        faults.staged("share", tmp_path, monkeypatch) as stage,
        pytest.raises(AssertionError),
    ):
        require_no_leaks(stage, leak)


# --- the whole table ---------------------------------------------------------


#: What the owner cannot tell apart, and need not.
ALIKE = [
    {"401", "a wrong token", "a wrong password"},
    {"412", "taken", "a file there", "a directory there"},
    {"no directory", "a file in the way"},
]


def test_there_are_enough_faults_and_each_is_another():
    told = collections.defaultdict(set)
    for (kind, name), (_, *case) in CASES.items():
        told[kind, *case].add(name)

    assert len(CASES) >= 65
    assert len(TABLES) >= 7
    assert [kind for kind, table in TABLES.items() if len(table) < 5] == []
    assert all(words for *_, words in told)
    assert [names for names in told.values() if len(names) > 1] == ALIKE


@pytest.mark.parametrize("code", sorted({case[2] for case in CASES.values()}))
def test_every_code_can_be_looked_up(code):
    assert code in KNOWN - {"internal"}
    assert f"``{code}``" in RUNBOOK.read_text()
