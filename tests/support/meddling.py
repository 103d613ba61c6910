# SPDX-License-Identifier: Apache-2.0
"""What becomes of images, uploads and programs before a task needs them.

See :mod:`tests.support.faults`.
"""

import contextlib
import dataclasses
import functools
import io
import os
import pathlib

import glance_tasks as gt
from glance_tasks import locations
from glance_tasks import testing
from glance_tasks.imagefile import starter
from tests.support import faults
from tests.support import placed

MIB = 1 << 20


# --- the image ---------------------------------------------------------------


def gone(stage):
    """Arrange that the image goes before the task runs."""
    given = stage.given()
    stage.between.append(lambda task: stage.withdraw(given["image_id"]))
    return given


def gone_behind(name, method, *, given=None, **where):
    """Arrange that it goes in the middle of it."""
    chosen = given or faults.Stage.given

    def arrange(stage):
        given = chosen(stage)

        def break_it(task):
            go = functools.partial(stage.withdraw, given["image_id"])
            stage.behind(name, method, go, **where)

        stage.broken.append(break_it)
        return given

    return arrange


def rewritten(change, **more):
    """Arrange that the stored bytes are others by then."""

    def arrange(stage):
        image = stage.image()

        def rewrite(task):
            path = stage.home / "home" / "store-fast" / image.id
            path.unlink()
            if (data := change(placed.CONTENT)) is not None:
                path.write_bytes(data)

        stage.between.append(rewrite)
        return stage.given(image, **more)

    return arrange


flipped = functools.partial(rewritten, lambda data: data[::-1])
short = functools.partial(rewritten, lambda data: data[:-1])
lost = functools.partial(rewritten, lambda data: None)


def unlike(stage):
    """Arrange that no copy is of the bytes that the image is said to have."""
    image = stage.image()

    def spoil(task):
        stage.kit.engine.catalogue.change_locations(
            image.id,
            lambda held: (dataclasses.replace(held[0], os_hash_value="00"),),
        )

    stage.between.append(spoil)
    return stage.given(image)


def anothers(stage):
    """Give an image of another project, shared with this one."""
    return stage.given(stage.image(owner="other", visibility="shared"))


def id_taken(stage):
    """Arrange that there is an image by then with the id of the new one."""

    def take(task):
        stage.foreign.add(task.image_id)
        taken = stage.image(content=b"another's")
        record = dataclasses.replace(
            taken, id=task.image_id, location=taken.id, locations=()
        )
        stage.kit.engine.catalogue.publish(record, 0)

    stage.between.append(take)
    return stage.given()


def located(stage):
    """Give a conversion into one more location of the image."""
    return stage.given(**{"as": "location", "store": "far"})


def _changed(stage, image, **changes):
    """Show another record of an image, as a service might make of it."""
    catalogue = stage.kit.engine.catalogue
    catalogue.withdraw(image.id, 1)
    catalogue.publish(dataclasses.replace(image, **changes), 1)


def protected(stage):
    """Arrange that the image is protected by then."""
    image = stage.image()
    stage.between.append(lambda task: _changed(stage, image, protected=True))
    return stage.given(image)


def last_one(stage):
    """Arrange that the other copy is gone by then."""
    image = stage.image(stores=["fast", "cheap"])

    def drop(task):
        stage.kit.engine.catalogue.change_locations(
            image.id, lambda held: held[:1]
        )
        store = stage.kit.engine.stores["cheap"]
        store.delete(image.id, fence=testing.OpenFence())

    stage.between.append(drop)
    return stage.given(image, store="fast")


def undone(method, call, **more):
    """Arrange that somebody undoes the deletion, behind a call."""

    def arrange(stage):
        given = stage.given(**more)

        def undo():
            stage.kit.engine.catalogue.change_locations(
                given["image_id"], locations.undelete
            )

        stage.broken.append(
            lambda task: stage.behind("catalogue", method, undo, call)
        )
        return given

    return arrange


# --- what is handed in -------------------------------------------------------


class _Cut(io.BytesIO):
    """A stream that fails when its bytes are used up."""

    def read(self, size=-1):
        """Read, or fail."""
        data = super().read(size)
        if not data:
            raise ConnectionResetError("the client went away")
        return data


def cut_off(after, **given):
    """Arrange that so many bytes come, and nothing more for too long."""

    def arrange(stage):
        stage.option("glance_tasks_upload", timeout=60.0)
        stage.body = None

        def leave(task):
            engine, body = stage.kit.engine, placed.CONTENT[:after]
            if after:
                with contextlib.suppress(gt.UploadTruncated):
                    engine.receive(task.id, _Cut(body))
            stage.kit.clock.advance(61)
            for path in (stage.home / "home" / "staging").rglob("*"):
                os.utime(path, (path.stat().st_mtime - 61,) * 2)

        stage.between.append(leave)
        return stage.given(**given)

    return arrange


def announced(size):
    """Arrange that fewer bytes are announced."""
    return lambda stage: stage.given(size=size)


def cut_short(stage):
    """Arrange that fewer bytes come than were said to come."""
    stage.length = MIB
    return stage.given()


def no_staging(stage):
    """Arrange a file in the place of the directory for them."""
    given = stage.given()
    (stage.kit.home / "staging").write_bytes(b"in the way")
    return given


def promised(stage):
    """Arrange bytes that are not those that were promised."""
    return stage.given(checksum="sha256:" + "0" * 64)


def changed_there(stage):
    """Arrange that they are others by the time they are taken."""
    stage.mount("staging", MIB)

    def change(task):
        path = stage.home / "home" / "staging" / task.id / "data"
        with path.open("r+b") as file:
            file.write(b"flip")

    stage.between.append(change)
    return stage.given()


def handed(body, source, **limits):
    """Arrange an archive, under other limits."""

    def arrange(stage):
        stage.option("glance_tasks_unpack", **limits)
        return stage.serve(body, source)

    return arrange


# --- the programs ------------------------------------------------------------


def _programs(stage, left_out):
    """Have a directory be all that programs are found in."""
    place = stage.home / "programs"
    place.mkdir()
    for path in pathlib.Path("/usr/bin").iterdir():
        if path.name not in left_out:
            (place / path.name).symlink_to(path)
    stage.monkeypatch.setattr(starter, "_PATH", str(place))
    return place


def not_installed(program, target):
    """Arrange a machine without one of the programs."""

    def arrange(stage):
        given = stage.serve(stage.disk(), "qcow2", target)
        _programs(stage, {program})
        return given

    return arrange


def alters(stage):
    """Arrange a qemu-img that writes another disk than there is."""
    given = stage.serve(stage.disk(), "qcow2", "qcow2")
    place = _programs(stage, {"qemu-img"})
    script = place / "qemu-img"
    script.write_text(
        '#!/bin/sh\n/usr/bin/qemu-img "$@" || exit\nfor last; do :; done\n'
        "echo another |"
        ' dd of="$last" seek=400000 bs=1 conv=notrunc status=none\n'
    )
    script.chmod(0o755)
    return given
