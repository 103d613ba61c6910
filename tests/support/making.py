# SPDX-License-Identifier: Apache-2.0
"""Faults of tasks that make images: clone, convert, upload.

See :mod:`tests.support.faults`.
"""

import lzma

import glance_tasks as gt
from glance_tasks.atoms import store
from tests.support import breakage
from tests.support import broken_archives as archives
from tests.support import crafted
from tests.support import faults
from tests.support import importing
from tests.support import meddling
from tests.support import placed
from tests.support import stops

MIB = 1 << 20
READ, INSPECT, CONVERT, STORE, REGISTER, CHECK = (
    *("ReadImage", "InspectImage", "ConvertImage", "StoreImage"),
    *("RegisterImage", "Check-mine"),
)
ADD, RECEIVE, UNPACK = "AddLocation", "ReceiveImage", "UnpackImage"
NO_STORE, NO_CATALOGUE = "store_unavailable", "catalogue_unavailable"
BACKED = importing.hostile()

#: name: what is arranged, the step that fails, its code, words of the message
CLONE = {
    "gone": (meddling.gone, READ, "image_not_found", "there is no image"),
    "damaged": (meddling.flipped(), READ, "image_damaged", "digest"),
    "short": (
        meddling.short(),
        *(READ, "image_damaged", f"{len(placed.CONTENT) - 1} bytes"),
    ),
    "lost": (meddling.lost(), READ, NO_STORE, "No such file"),
    "a store that gives nothing": (
        faults.away("fast", "open"),
        *(READ, NO_STORE, "does not answer open"),
    ),
    "a store nobody knows": (
        faults.unknown("cheap", "cheap"),
        *(READ, NO_STORE, "no store 'cheap' here"),
    ),
    "no copy like it": (
        meddling.unlike,
        *(READ, NO_STORE, "no copy that is as the image says"),
    ),
    "no catalogue": (
        faults.away("catalogue", "get"),
        *(READ, NO_CATALOGUE, "does not answer get"),
    ),
    "no members": (
        faults.away("catalogue", "members", given=meddling.anothers),
        *(READ, NO_CATALOGUE, "does not answer members"),
    ),
    "no room": (
        faults.small("work", 128 << 10),
        *(READ, "disk_full", f"{len(placed.CONTENT)} bytes"),
    ),
    "another format": (
        breakage.image(placed.CONTENT, "qcow2"),
        *(INSPECT, "format_mismatch", "qcow2"),
    ),
    "a backing file": (
        breakage.image(BACKED, "qcow2"),
        *(INSPECT, "unsafe_image", "backing file"),
    ),
    "a lying header": (
        breakage.image(crafted.qcow2(l1_size=1 << 25), "qcow2"),
        *(INSPECT, "image_malformed", "L1 table of 33554432 entries"),
    ),
    "too large": (
        breakage.too_large_a_disk,
        *(INSPECT, "virtual_size_exceeded", "1048576"),
    ),
    "a veto": (
        breakage.raises(gt.CheckRefused("the image has no licence")),
        *(CHECK, "check_refused", "no licence"),
    ),
    "an odd check": (
        breakage.gives({1, 2}),
        *(CHECK, "result_invalid", "not JSON"),
    ),
    "a full store": (
        faults.away("fast", "put", error=faults.FULL),
        *(STORE, "store_full", "No space left"),
    ),
    "a broken store": (
        faults.away("fast", "put", error=faults.BROKEN),
        *(STORE, NO_STORE, "Input/output error"),
    ),
    "a store that loses": (
        faults.too_few("fast"),
        *(STORE, NO_STORE, f"took {len(placed.CONTENT) - 1} bytes"),
    ),
    "a store that keeps all": (
        faults.stubborn("fast", STORE, faults.too_few("fast")),
        *(STORE, NO_STORE, "Could not be undone: StoreImage: fast does"),
    ),
    "a taken id": (
        meddling.id_taken,
        *(REGISTER, "image_exists", "exists already"),
    ),
    "no registration": (
        faults.away("catalogue", "publish"),
        *(REGISTER, NO_CATALOGUE, "does not answer publish"),
    ),
    "a slow store": (
        stops.hangs("fast", store.StoreImage),
        *(STORE, "step_deadline_passed", "StoreImage took longer than the"),
    ),
    **stops.stops("clone", REGISTER, "catalogue", "publish"),
}
#: Those that all have that make an image.
MAKING = (
    *("another format", "a backing file", "a lying header", "too large"),
    *("a veto", "an odd check", "a full store", "a broken store"),
    *("a store that loses", "a taken id", "no registration", "a slow store"),
)
CONVERSION = {
    "no time to read": (
        breakage.limited("raw", wall_seconds=0.0),
        *(CONVERT, "convert_timeout", "qemu-nbd took longer than 0 s"),
    ),
    "no time to write": (
        breakage.limited("vmdk", wall_seconds=0.0),
        *(CONVERT, "convert_timeout", "qemu-img took longer than 0 s"),
    ),
    "no processor": (
        breakage.limited("vmdk", 64 * MIB, processor_seconds=0.0),
        *(CONVERT, "convert_cpu_limit", "processor"),
    ),
    "a large file": (
        breakage.limited("vmdk", file_size=100_000),
        *(CONVERT, "convert_size_limit", "100000"),
    ),
    "little memory": (
        breakage.little_memory,
        *(CONVERT, "convert_memory_limit", "memory"),
    ),
    "qemu-nbd killed": (
        breakage.killed("qemu-nbd", "raw"),
        *(CONVERT, "convert_failed", "qemu-nbd"),
    ),
    "qemu-img killed": (
        breakage.killed("qemu-img", "vmdk"),
        *(CONVERT, "convert_failed", "qemu-img"),
    ),
    "no qemu-img": (
        meddling.not_installed("qemu-img", "vmdk"),
        *(CONVERT, "convert_failed", "is not installed here"),
    ),
    "an image inside": (
        breakage.image_in_a_disk,
        *(CONVERT, "unsafe_image", "inside"),
    ),
    "no room": (
        breakage.no_room_for_the_disk,
        *(CONVERT, "disk_full", "no space is left on the device"),
    ),
}
HUNGRY = lzma.compress(archives.IMAGE, preset=9)
UPLOAD = {
    **CONVERSION,
    "cut": (
        meddling.cut_off(100_000, size=len(placed.CONTENT)),
        *(RECEIVE, "upload_truncated", f"100000 of {len(placed.CONTENT)} by"),
    ),
    "never come": (
        meddling.cut_off(0),
        *(RECEIVE, "upload_truncated", "ended after 0 bytes"),
    ),
    "another digest": (
        meddling.promised,
        *(RECEIVE, "checksum_mismatch", "0" * 64),
    ),
    "changed where it lies": (
        meddling.changed_there,
        *(RECEIVE, "checksum_mismatch", "not there any more as they came"),
    ),
    "no room here": (
        faults.small("work", 128 << 10),
        *(RECEIVE, "disk_full", f"{len(placed.CONTENT)} bytes"),
    ),
    "a damaged archive": (
        meddling.handed(archives.DAMAGED, "qcow2"),
        *(UNPACK, "archive_malformed", "damaged"),
    ),
    "two disks": (
        meddling.handed(archives.TWO, "qcow2"),
        *(UNPACK, "archive_unfit", "2 entries"),
    ),
    "an archive that climbs": (
        meddling.handed(archives.CLIMBING, "vmdk"),
        *(UNPACK, "archive_unfit", "../"),
    ),
    "a large archive": (
        meddling.handed(archives.FIVE_MIB, "qcow2", max_bytes=4 * MIB),
        *(UNPACK, "unpack_size_limit", str(4 * MIB)),
    ),
    "a bomb": (
        meddling.handed(archives.BLANK, "qcow2", max_ratio=100),
        *(UNPACK, "unpack_ratio_limit", "100 times"),
    ),
    "a hungry archive": (
        meddling.handed(HUNGRY, "qcow2", memory=16 * MIB),
        *(UNPACK, "unpack_memory_limit", str(16 * MIB)),
    ),
    **{name: CLONE[name] for name in MAKING},
    **stops.stops("upload", REGISTER, "catalogue", "publish"),
}
CONVERTING = {
    **CONVERSION,
    "another disk": (
        meddling.alters,
        *(CONVERT, "content_differs", "of the converted disk"),
    ),
    "gone": CLONE["gone"],
    "damaged": CLONE["damaged"],
    "lost": CLONE["lost"],
    "no catalogue": CLONE["no catalogue"],
    "another format": CLONE["another format"],
    "a backing file": CLONE["a backing file"],
    "gone meanwhile": (
        meddling.gone_behind("far", "put", given=meddling.located),
        *(ADD, "image_gone", "not there any more"),
    ),
    "a full store": (
        faults.away("far", "put", given=meddling.located, error=faults.FULL),
        *(ADD, "store_full", "No space left"),
    ),
    "no change": (
        faults.away(
            "catalogue", "change_locations", given=meddling.located, times=1
        ),
        *(ADD, NO_CATALOGUE, "does not answer change_locations"),
    ),
    **stops.stops("convert", ADD, "far", "put", given=meddling.located),
}
