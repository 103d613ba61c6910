# SPDX-License-Identifier: Apache-2.0
"""Exceptions of every kind that was ever seen to wedge a flow, and worse."""

import pathlib
import socket
import subprocess
import urllib.error

import requests

import glance_tasks as gt

#: Must be found in no table, whatever fails.
CANARY = "s3kr1t-CANARY"
ADDRESS = f"http://user:{CANARY}@source.example/image"


def circular():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    return first


class BadRepr(Exception):
    """An exception that cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no picture")


class Unspeakable:
    """An object that cannot be told."""

    def __str__(self):
        raise RuntimeError("no word")


def answered():
    answer = requests.Response()
    answer.status_code = 503
    answer.url = ADDRESS
    return requests.HTTPError(f"503 for {ADDRESS}", response=answer)


def undecodable():
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        return error


#: By what is special about each.
KINDS = {
    "plain": ValueError("plain"),
    "decoding": undecodable(),
    "path": subprocess.CalledProcessError(1, [pathlib.Path("qemu-img"), 1]),
    "tuple key": KeyError(("a", 1)),
    "response": answered(),
    "socket": OSError("cut", socket.socket),
    "refused": urllib.error.URLError(ConnectionRefusedError(111, "refused")),
    "requests": requests.ConnectionError(ADDRESS, object()),
    "unshowable": BadRepr(object()),
    "circular": circular(),
    "group": ExceptionGroup("several", [ValueError(1), KeyError(2)]),
    "nul": ValueError("a\0b"),
    "surrogate": ValueError("a\ud800b"),
    "huge": ValueError("x" * 2_000_000),
    "address": ValueError(f"cannot open {ADDRESS}"),
    "told": gt.TaskError("so", code="check_refused", detail={"a": object()}),
    "unspeakable told": gt.TaskError("so", detail={"a": Unspeakable()}),
    "key told": gt.TaskError("so", detail={ADDRESS: 1, "a\0b\ud800": 2}),
    "own code": gt.TaskError("so", code="own", advice="pray", retryable=True),
    "huge told": gt.TaskError("x" * 2_000_000, advice="y" * 2_000_000),
    "nul told": gt.TaskError("a\0b", advice="c\0d"),
    "surrogate told": gt.TaskError("a\ud800b", advice="c\udfffd"),
    "address told": gt.TaskError(
        ADDRESS,
        advice=f"look at {ADDRESS}",
        detail={"uri": ADDRESS, "deep": {"uri": ADDRESS}},
    ),
}
