# SPDX-License-Identifier: Apache-2.0
"""What breaks an export: destinations, scrubbers, what may not leave."""

import dataclasses
import socket
import socketserver
import threading

from glance_tasks.atoms import offer
from glance_tasks.testing import http_sink
from tests.support import breakage
from tests.support import faults
from tests.support import meddling
from tests.support import placed
from tests.support import stops
from tests.support import stores

CANARY = faults.CANARY
SCRIPT = "scrub.sh"


# --- over HTTP ---------------------------------------------------------------


def answers(*statuses):
    """Arrange what the requests are answered, first of all by HEAD."""

    def arrange(stage):
        stage.sink.manners.statuses = list(statuses)
        return stage.given()

    return arrange


def lies(**manners):
    """Arrange how the destination behaves."""

    def arrange(stage):
        sink = stage.sink
        sink.manners = dataclasses.replace(sink.manners, **manners)
        return stage.given()

    return arrange


def keeps(**manners):
    """Arrange one that besides gives nothing up again."""

    def arrange(stage):
        stage.left, stage.stays = ["SendImage"], True
        return lies(methods=frozenset({"PUT", "HEAD"}), **manners)(stage)

    return arrange


def logged_in(given, at=""):
    """Arrange credentials, which are wrong."""

    def arrange(stage):
        stage.sink.manners.login = "Bearer another"
        uri = stage.sink.uri(faults.PATH).replace("//", f"//{at}")
        return stage.given(export_to=uri, export_to_credentials=given)

    return arrange


def taken(stage):
    """Arrange that the place holds somebody's object."""
    other = http_sink.Taken(b"another's", "another task")
    stage.sink.objects[faults.PATH] = other
    return stage.given()


def refused(stage):
    """Arrange a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stage.left = ["SendImage"]
    return stage.given(export_to=f"http://127.0.0.1:{port}{faults.PATH}")


def silent(stage):
    """Arrange a destination that takes everything and answers nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    stage.stack.callback(listener.close)
    stage.option("glance_tasks_send", read_timeout=0.2)
    stage.left = ["SendImage"]
    port = listener.getsockname()[1]
    return stage.given(export_to=f"http://127.0.0.1:{port}{faults.PATH}")


def speaks(words):
    """Arrange a destination that answers everything with these bytes."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(words)

    def arrange(stage):
        server = stage.stack.enter_context(
            socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        )
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        stage.stack.callback(server.shutdown)
        stage.left = ["SendImage"]
        port = server.server_address[1]
        return stage.given(export_to=f"http://127.0.0.1:{port}{faults.PATH}")

    return arrange


def private(stage):
    """Arrange a name that leads to an address that is not public."""
    stage.option("glance_tasks_send", allowed_networks=[])
    stage.left = ["SendImage"]
    return stage.given(export_to=f"http://localhost{faults.PATH}")


# --- in directories ----------------------------------------------------------


def directory(prepare, *left):
    """Arrange a file:// destination; ``prepare`` gets stage and task.

    :param left: steps that cannot even look whether something is there
    """

    def arrange(stage):
        stage.left = list(left)
        stage.between.append(lambda task: prepare(stage, task))
        return stage.given(export_to=f"file://{stage.outside}/in")

    return arrange


def absent(stage, task):
    """There is no such directory."""


def occupied(stage, task):
    """Somebody's file is there."""
    (stage.outside / "in").mkdir()
    (stage.outside / "in" / task.id).write_bytes(b"another's")


def a_directory(stage, task):
    """A directory is there."""
    (stage.outside / "in" / task.id).mkdir(parents=True)


def led_out(stage, task):
    """The directory has become a link that leads out of where it may."""
    (stage.outside / "in").symlink_to(stage.home)


def a_file(stage, task):
    """The directory has become a file."""
    (stage.outside / "in").write_bytes(b"in the way")


def full(stage, task):
    """There is no room."""
    stage.stack.enter_context(stores.mounted(stage.outside / "in", 64 << 10))


def read_only(stage, task):
    """Nothing can be written there."""
    place = stage.outside / "in"
    stage.stack.enter_context(stores.mounted(place, 1 << 20, read_only=True))


# --- here --------------------------------------------------------------------


def kept(stage):
    """Arrange an image that may not leave."""
    rule = ["license=proprietary*"]
    stage.option("glance_tasks_scrub", refuse_properties=rule)
    image = stage.image(properties={"license": "proprietary-1"})
    return stage.given(image)


def offered(stage):
    """Arrange an export whose result has an address of this service's."""
    return stage.given(export_to=None)


def withdrawn_offer(stage):
    """Arrange a conductor of a service that nobody reaches any more."""
    given = offered(stage)

    def forget(task):
        shared = stage.kit.engine._shared
        stage.kit.engine._shared = dataclasses.replace(shared, temp_urls=None)

    stage.broken.append(forget)
    return given


def scrubbed(text, **limits):
    """Arrange a program that scrubs; ``text`` is of a shell script."""

    def arrange(stage):
        path = stage.home / SCRIPT
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        command = [str(path), "{input}", "{output}"]
        stage.option("glance_tasks_scrub", command=command, **limits)
        return stage.given()

    return arrange


def no_scrubber(stage):
    """Arrange a program that is not there."""
    stage.option("glance_tasks_scrub", command=["/opt/absent", "{input}"])
    return stage.given()


# --- the cases ---------------------------------------------------------------

SEND, OFFER, READ = "SendImage", "OfferImage", "ReadImage"
SCRUBBER, SCRUB = "RunScrubber", "ScrubImage"

#: name: what is arranged, the step that fails, its code, words of the message
EXPORT = {
    "401": (lies(login="Bearer x"), SEND, "destination_denied", "with 401"),
    "a wrong token": (
        logged_in({"token": CANARY}),
        *(SEND, "destination_denied", "with 401"),
    ),
    "a wrong password": (
        logged_in(None, f"me:{CANARY}@"),
        *(SEND, "destination_denied", "with 401"),
    ),
    "403": (answers(404, 403), SEND, "destination_denied", "with 403"),
    "404": (answers(404, 404), SEND, "destination_not_found", "with 404"),
    "409": (answers(404, 409), SEND, "destination_unavailable", "409"),
    "412": (
        answers(404, 412),
        *(SEND, "destination_exists", "holds another object"),
    ),
    "413": (answers(404, 413), SEND, "destination_full", "with 413"),
    "507": (answers(404, 507), SEND, "destination_full", "with 507"),
    "500": (answers(404, 500), SEND, "destination_unavailable", "with 500"),
    "503": (
        answers(503, 503),
        *(SEND, "destination_unavailable", "answers HEAD with 503"),
    ),
    "moved": (answers(404, 302), SEND, "destination_unavailable", "302"),
    "taken": (taken, SEND, "destination_exists", "holds another object"),
    "cut": (
        lies(cut_after=1000),
        *(SEND, "destination_unavailable", "cut the transfer"),
    ),
    "refused": (refused, SEND, "destination_unavailable", "connected to"),
    "silent": (silent, SEND, "destination_too_slow", "0.2 s"),
    "no HTTP": (
        speaks(b"SSH-2.0-OpenSSH_9.2\r\n"),
        *(SEND, "destination_invalid", "HTTP"),
    ),
    "an inner name": (private, SEND, "destination_not_allowed", "public"),
    "a byte lost": (
        lies(loses=1),
        *(SEND, "destination_unverified", f"{len(placed.CONTENT) - 1} bytes"),
    ),
    "all lost": (
        lies(forgets=True),
        *(SEND, "destination_unverified", "it is not there"),
    ),
    "other bytes": (
        lies(etag="0" * 32),
        *(SEND, "destination_unverified", "its digest is another"),
    ),
    "other bytes that stay": (
        keeps(etag="0" * 32),
        *(SEND, "destination_unverified", "answers DELETE with 403"),
    ),
    "no directory": (
        directory(absent),
        *(SEND, "destination_denied", "lies in no directory"),
    ),
    "a file in the way": (
        directory(a_file),
        *(SEND, "destination_denied", "lies in no directory"),
    ),
    "a file there": (
        directory(occupied),
        *(SEND, "destination_exists", "holds another object"),
    ),
    "a directory there": (
        directory(a_directory),
        *(SEND, "destination_exists", "holds another object"),
    ),
    "led out": (
        directory(led_out, SEND),
        *(SEND, "destination_not_allowed", "lies under no directory"),
    ),
    "a full disk there": (
        directory(full),
        *(SEND, "destination_full", "no space left"),
    ),
    "a read-only disk there": (
        directory(read_only, SEND),
        *(SEND, "destination_denied", "may not be written to"),
    ),
    "one that may not leave": (
        kept,
        *("ScrubProperties", "export_refused", "license = 'proprietary-1'"),
    ),
    "no scrubber": (no_scrubber, SCRUBBER, "scrub_failed", "not installed"),
    "a scrubber that fails": (
        scrubbed(f"echo no key at http://a:{CANARY}@b/ $1 >&2; exit 3"),
        *(SCRUBBER, "scrub_failed", "status 3"),
    ),
    "a scrubber that writes nothing": (
        scrubbed("true"),
        *(SCRUBBER, "scrub_failed", "0 bytes"),
    ),
    "a scrubber that leads out": (
        scrubbed('rm "$2"; ln -s /etc/passwd "$2"'),
        *(SCRUBBER, "scrub_failed", "no file of its own"),
    ),
    "a scrubber that stays": (
        scrubbed("exec sleep 60", command_timeout=1.0),
        *(SCRUBBER, "scrub_timeout", "longer than 1 s"),
    ),
    "a scrubber that spins": (
        scrubbed("while :; do :; done", command_processor_time=1.0),
        *(SCRUBBER, "scrub_cpu_limit", "processor time"),
    ),
    "a scrubber that swells": (
        scrubbed(
            "exec python3 -c 'bytearray(1 << 30)'", command_memory=256 << 20
        ),
        *(SCRUBBER, "scrub_memory_limit", str(256 << 20)),
    ),
    "a scrubber that pours": (
        scrubbed('exec head -c 200M /dev/zero >"$2"'),
        *(SCRUBBER, "scrub_size_limit", "the scrubber wrote"),
    ),
    "no time to scrub": (
        breakage.limited(None, wall_seconds=0.0),
        *(SCRUB, "convert_timeout", "longer than 0 s"),
    ),
    "a damaged image": (meddling.flipped(), SEND, "image_damaged", "digest"),
    "a damaged image to convert": (
        meddling.flipped(export_format="qcow2"),
        *(READ, "image_damaged", "the data of image"),
    ),
    "an image that is gone": (
        meddling.gone,
        READ,
        "image_not_found",
        "no image",
    ),
    "no catalogue": (
        faults.away("catalogue", "get"),
        *(READ, "catalogue_unavailable", "does not answer get"),
    ),
    "no room here": (
        breakage.no_room_for_the_fetch,
        *(READ, "disk_full", "2097152 bytes"),
    ),
    "a store without room": (
        faults.away("fast", "put", given=offered, error=faults.FULL),
        *(OFFER, "store_full", "No space left"),
    ),
    "a broken store": (
        faults.away("fast", "put", given=offered, error=faults.BROKEN),
        *(OFFER, "store_unavailable", "Input/output error"),
    ),
    "no address any more": (
        withdrawn_offer,
        *(OFFER, "destination_not_allowed", "no temporary URLs any more"),
    ),
    "a slow store": (
        stops.hangs("fast", offer.OfferImage, given=offered),
        *(OFFER, "step_deadline_passed", "OfferImage took longer than the"),
    ),
    **stops.stops("export", OFFER, "fast", "put", given=offered),
}
