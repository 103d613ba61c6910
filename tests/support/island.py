# SPDX-License-Identifier: Apache-2.0
"""A small internet of our own, with a name service that lies.

``python -m tests.support.island`` runs in a network namespace where nothing
else is (see :func:`run`). There the address of a public server, that of a
cloud's metadata service and a private one are all this process; the system's
resolver asks this process for names. It prints what became of each attack.
"""

import collections
from collections.abc import Mapping
import contextlib
import fcntl
import http.server
import ipaddress
import json
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
from typing import Any
import urllib.request

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import fetcher

PUBLIC, METADATA, PRIVATE = "93.184.216.34", "169.254.169.254", "10.1.2.3"
ADDRESSES = (PUBLIC, METADATA, PRIVATE)

_SIOCSIFADDR, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x8913, 0x8914
_A, _AAAA = 1, 28

#: Name to the addresses of each answer in turn; the last one stays.
NAMES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "steady.example": ((PUBLIC,),),
    "rebound.example": ((PUBLIC,), (METADATA,)),
    "cut.example": ((PUBLIC,), (METADATA,)),
    "moving.example": ((PUBLIC,),),
    "naive.example": ((PUBLIC,), (METADATA,)),
    "inside.example": ((PRIVATE,),),
    "one-of-two.example": ((PUBLIC, PRIVATE),),
    "mapped.example": ((PUBLIC, f"::ffff:{METADATA}"),),
    "nat64.example": ((f"64:ff9b::{METADATA}",),),
    "loopback6.example": (("::1",),),
}


def available() -> bool:
    """Tell whether the kernel lets us have a network of our own."""
    done = subprocess.run(
        [*_UNSHARE, "true"], check=False, capture_output=True
    )
    return done.returncode == 0


_UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount")


def run() -> Mapping[str, Any]:
    """Give what became of each attack: the outcome, and who was connected."""
    done = subprocess.run(
        [*_UNSHARE, sys.executable, "-m", __name__],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


# --- the network -------------------------------------------------------------


def _bring_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.pack("16sh14x", b"lo", 0x1 | 0x8 | 0x40)
        fcntl.ioctl(control, _SIOCSIFFLAGS, flags)
        for number, address in enumerate(ADDRESSES, 1):
            request = struct.pack(
                "16sHH4s8x",
                f"lo:{number}".encode(),
                socket.AF_INET,
                0,
                socket.inet_aton(address),
            )
            fcntl.ioctl(control, _SIOCSIFADDR, request)


def _use_our_names(directory: pathlib.Path) -> None:
    for name, text in (
        (
            "resolv.conf",
            "nameserver 127.0.0.1\noptions attempts:1 timeout:5\n",
        ),
        ("nsswitch.conf", "hosts: dns\n"),
    ):
        (directory / name).write_text(text)
        subprocess.run(
            ["mount", "--bind", directory / name, f"/etc/{name}"], check=True
        )


# --- the name service --------------------------------------------------------


class _Names(socketserver.BaseRequestHandler):
    asked: collections.Counter[tuple[str, int]] = collections.Counter()

    def handle(self) -> None:
        question, wire = self.request
        name, kind, end = _question(question)
        turns = NAMES.get(name, ())
        turn = min(self.asked[name, kind], len(turns) - 1)
        self.asked[name, kind] += 1
        found = [
            ipaddress.ip_address(a) for a in (turns[turn] if turns else ())
        ]
        version = {_A: 4, _AAAA: 6}.get(kind)
        fitting = [a.packed for a in found if a.version == version]
        status = 0x8180 if turns else 0x8183
        answer = question[:2] + struct.pack(
            ">HHHHH", status, 1, len(fitting), 0, 0
        )
        answer += question[12:end]
        for packed in fitting:
            # A pointer to the name, class IN, gone in 0 seconds.
            answer += struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed))
            answer += packed
        wire.sendto(answer, self.client_address)


def _question(packet: bytes) -> tuple[str, int, int]:
    """Give the name asked for, the kind of record and where both end."""
    labels, place = [], 12
    while length := packet[place]:
        labels.append(packet[place + 1 : place + 1 + length].decode())
        place += length + 1
    (kind,) = struct.unpack_from(">H", packet, place + 1)
    return ".".join(labels).lower(), kind, place + 5


# --- the servers -------------------------------------------------------------


class _Web(http.server.BaseHTTPRequestHandler):
    reached: collections.Counter[str] = collections.Counter()

    def do_GET(self) -> None:
        here = self.connection.getsockname()[0].removeprefix("::ffff:")
        self.reached[here] += 1
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        body = b"public" if here == PUBLIC else b"SECRET"
        self.send_response(200)
        self.send_header("ETag", '"1"')
        longer = 10 if self.path == "/cut" else 0
        self.send_header("Content-Length", str(len(body) + longer))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


class _Everywhere(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


# --- the attacks -------------------------------------------------------------


class _Attacks:
    def __init__(self, directory: pathlib.Path) -> None:
        self._directory, self._count = directory, 0
        self._fetcher = fetcher.GuardedFetcher()

    def fetch(self, *uris: str) -> list[str]:
        """Fetch each; gives the bytes that came or the failure's code."""
        return [self._one(uri) for uri in uris]

    def _one(self, uri: str) -> str:
        self._count += 1
        path = self._directory / str(self._count)
        try:
            self._fetcher.fetch(
                uri,
                path,
                algorithms=(),
                max_bytes=1 << 20,
                stop=doubles.NeverStop(),
                progress=doubles.RecordingProgress(),
            )
        except exceptions.FetchError as error:
            return error.code
        return path.read_text()

    @staticmethod
    def naively(uri: str) -> list[str]:
        """Check the name and then open the address, as many do."""
        host = uri.split("/")[2]
        for entry in socket.getaddrinfo(host, 80, socket.AF_INET):
            assert ipaddress.ip_address(entry[4][0]).is_global
        with urllib.request.urlopen(uri, timeout=10) as answer:
            return [answer.read().decode()]


def _forms(address: str) -> list[str]:
    """Write an address in every form that somebody's parser takes."""
    number = int(ipaddress.ip_address(address))
    first, *_, last = parts = address.split(".")
    return [
        address,
        f"{address}.",
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(hex(int(part)) for part in parts),
        ".".join(f"0{int(part):o}" for part in parts),
        f"{first}.{number & 0xFFFFFF}",
        f"{first}.{parts[1]}.{int(parts[2]) << 8 | int(last)}",
        f"[::ffff:{address}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[::ffff:{address}%25lo]",
        f"[fe80::{address}%25lo]",
        address.replace(".", "\N{IDEOGRAPHIC FULL STOP}"),
        "".join(chr(ord(c) + 0xFEE0) if c != "." else c for c in address),
        f"{PUBLIC}@{address}",
        f"{PUBLIC}:80@{address}",
        f"{address}#@{PUBLIC}",
        f"{address}?@{PUBLIC}",
        f"{address}\\@{PUBLIC}",
        f"{PUBLIC}%00.{address}",
    ]


def _attack(attacks: _Attacks) -> dict[str, Any]:
    """Give the outcomes by name, with the addresses that were reached."""
    found: dict[str, Any] = {}

    def note(name: str, outcome: list[str]) -> None:
        found[name] = [outcome, dict(_Web.reached)]
        _Web.reached.clear()

    note("steady", attacks.fetch("http://steady.example/"))
    note(
        "rebound",
        attacks.fetch("http://rebound.example/", "http://rebound.example/"),
    )
    note("cut", attacks.fetch("http://cut.example/cut"))
    for name in NAMES.keys() - {"steady.example", "rebound.example"}:
        short = name.removesuffix(".example")
        if short not in ("cut", "moving", "naive"):
            note(short, attacks.fetch(f"http://{name}/"))
    targets = [
        f"http://{form}/"
        for address in (METADATA, PRIVATE, "127.0.0.1")
        for form in _forms(address)
    ]
    note("forms", attacks.fetch(*targets))
    moved = [f"http://moving.example/to/{target}" for target in targets]
    note("redirects", attacks.fetch(*(m for m in moved if m.isascii())))
    note("naive", attacks.naively("http://naive.example/"))
    return found


def _serve(
    server: socketserver.BaseServer, stack: contextlib.ExitStack
) -> None:
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()


def main() -> None:
    """Make the network, attack, and print the outcomes."""
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        _bring_up()
        _use_our_names(directory)
        names = socketserver.ThreadingUDPServer(("127.0.0.1", 53), _Names)
        _serve(names, stack)
        # Second, because it looks up its own name when it is made.
        _serve(_Everywhere(("::", 80), _Web), stack)
        print(json.dumps(_attack(_Attacks(directory))))


if __name__ == "__main__":
    main()
