# SPDX-License-Identifier: Apache-2.0
"""A whole export of 1 GiB, raw, to a directory, to Swift and to S3.

From the claim to the outcome, with every checkpoint and every fsync, against
each stage alone: the digests of as many bytes in memory, the image read from
the disk by ``dd``, and the bytes brought there by a plain client (``dd``, curl
to Swift, botocore with four parts of 32 MiB at a time to S3). ``dd`` passes by
the cache: the image is not in it, and so it is faster. Swift is a real one,
and its s3api the S3. ``python -m bench.export [MiB]``
"""

from collections.abc import Callable
import concurrent.futures
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any
import urllib.request

import botocore.session

from bench import fetch
from bench import surroundings
from glance_tasks.testing import swift_server

ROUNDS = 5
MIB = 1 << 20
PART = 32 * MIB
OURS = "ours, claim to outcome"
LIMIT = "md5 beside sha512, in memory"

# In a process of its own, so that its memory can be told from ours.
_EXPORT = """
import json, pathlib, sys, time
from bench import surroundings
import glance_tasks
folder, source, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
engine = surroundings.engine(
    f"sqlite:///{folder}/bench.sqlite", folder,
    fetch__file_roots=[str(pathlib.Path(source).parent)],
    send__file_roots=[folder], send__allowed_ports=[],
    send__allowed_networks=["127.0.0.0/8"],
)
image = engine.run(engine.submit("import", {
    "import_from": f"file://{source}", "import_from_format": "raw",
}).id)
assert image.status == "success", image.message
task = engine.submit("export", {"image_id": image.image_id, **given})
import os; os.sync()
def io():
    lines = pathlib.Path("/proc/self/io").read_text().splitlines()
    return dict(line.split(": ") for line in lines)
conductor = glance_tasks.Conductor(engine, max_tasks=1)
before = io()
began = time.perf_counter()
conductor.run_one(task.id)
taken = time.perf_counter() - began
after = io()
ended = engine.get(task.id)
assert ended.status == "success", ended.message
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps({
    "seconds": taken,
    "rss_mib": int(status.partition("VmHWM:")[2].split()[0]) / 1024,
    "md5": ended.result["checksum"],
    "read": int(after["rchar"]) - int(before["rchar"]),
    "written": int(after["wchar"]) - int(before["wchar"]),
}))
"""


def ours(source: pathlib.Path, given: Any, digest: str) -> dict[str, float]:
    """Export; give the figures of that process."""
    with surroundings.folder() as folder:
        text = json.dumps(given).replace("FOLDER", folder)
        done = subprocess.run(
            [sys.executable, "-c", _EXPORT, folder, str(source), text],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout)
    assert figures.pop("md5") == digest, "other bytes than the image's"
    return figures


def timed(work: Callable[[], object]) -> float:
    """Give how many seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(*words: str) -> Callable[[], object]:
    """Give something that runs a program."""
    return lambda: subprocess.run(words, check=True, capture_output=True)


class Swift:
    """The real Swift, and its s3api."""

    def __init__(self, server: swift_server.SwiftServer) -> None:
        """Make a container and a bucket."""
        self.credentials = dict(server.credentials)
        self.keys = dict(server.s3_credentials)
        url, token = server.access()
        self._url, self._token = f"{url}/plain", token
        for name in ("plain", "exports"):
            self._ask("PUT", f"{url}/{name}")
        self.s3 = botocore.session.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.keys["endpoint_url"],
            aws_access_key_id=self.keys["access_key"],
            aws_secret_access_key=self.keys["secret_key"],
        )
        self.s3.create_bucket(Bucket="bucket")

    def _ask(self, method: str, url: str) -> None:
        headers = {"X-Auth-Token": self._token}
        asked = urllib.request.Request(url, headers=headers, method=method)
        urllib.request.urlopen(asked, timeout=60).close()

    def curl(self, source: pathlib.Path) -> Callable[[], object]:
        """Send a file as one object, by curl."""
        token = f"X-Auth-Token: {self._token}"
        words = ("curl", "-sSf", "-H", token, "-H", "Expect:", "-T")
        return run(*words, str(source), f"{self._url}/one")

    def parts(self, source: pathlib.Path) -> None:
        """Send a file in parts, by botocore."""
        where = {"Bucket": "bucket", "Key": "plain"}
        upload = self.s3.create_multipart_upload(**where)["UploadId"]

        def send(number: int) -> dict[str, Any]:
            with source.open("rb") as file:
                file.seek((number - 1) * PART)
                body = file.read(PART)
            done = self.s3.upload_part(
                **where, UploadId=upload, PartNumber=number, Body=body
            )
            return {"PartNumber": number, "ETag": done["ETag"]}

        count = -(-source.stat().st_size // PART)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(send, range(1, count + 1)))
        self.s3.complete_multipart_upload(
            **where, UploadId=upload, MultipartUpload={"Parts": sent}
        )

    def clear(self) -> None:
        """Delete what was sent; Swift would fill the disk."""
        for bucket in ("bucket", "exports"):
            found = self.s3.list_objects_v2(Bucket=bucket)
            for one in found.get("Contents", ()):
                self.s3.delete_object(Bucket=bucket, Key=one["Key"])
        self.s3.delete_object(Bucket="plain", Key="one")


def _dd(source: pathlib.Path) -> tuple[str, ...]:
    return ("dd", f"if={source}", "of=/dev/null", "bs=4M", "iflag=direct")


def measure(
    title: str,
    source: pathlib.Path,
    given: Any,
    plain: tuple[str, Callable[[], object]],
    clear: Callable[[], None],
) -> None:
    """Print the table of one destination."""
    size = source.stat().st_size
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    found: dict[str, list[float]] = {}
    rss, last = 0.0, {"": 0.0}
    for _ in range(ROUNDS):
        os.sync()
        last = ours(source, given, digest)
        clear()
        os.sync()
        stages = {
            LIMIT: fetch.slowest_stage(size // MIB),
            "dd iflag=direct, of the image": timed(run(*_dd(source))),
            plain[0]: timed(plain[1]),
            OURS: last["seconds"],
        }
        clear()
        for name, taken in stages.items():
            found.setdefault(name, []).append(taken)
        rss = max(rss, last["rss_mib"])
    medians = {name: statistics.median(took) for name, took in found.items()}
    slowest = max(t for name, t in medians.items() if name != OURS)
    rows: list[tuple[str, ...]] = [("", "seconds", "of the slowest stage")]
    for name, taken in medians.items():
        rows.append((name, f"{taken:.2f}", f"{slowest / taken:.2f}"))
    surroundings.table(title, rows)
    print(
        f"  passes of ours: {last['read'] / size:.1f} read,"
        f" {last['written'] / size:.1f} written; peak RSS {rss:.0f} MiB"
    )


def main() -> None:
    """Print a table for each destination."""
    size = int(sys.argv[1]) if sys.argv[1:] else 1024
    surroundings.touch_memory()
    with surroundings.folder() as name, swift_server.running() as server:
        folder, swift = pathlib.Path(name), Swift(server)
        source, copy = folder / "disk", folder / "copy"
        piece = os.urandom(MIB)
        with source.open("wb") as out:
            for number in range(size):
                out.write(number.to_bytes(8, "big") + piece[8:])
        words = (f"if={source}", f"of={copy}", "bs=4M", "oflag=direct")
        for title, given, plain, clear in (
            (
                "to a directory",
                {"export_to": "file://FOLDER"},
                ("dd oflag=direct", run("dd", *words, "conv=fsync")),
                lambda: copy.unlink(missing_ok=True),
            ),
            (
                "to Swift",
                {
                    "export_to": "swift://exports",
                    "export_to_credentials": swift.credentials,
                },
                ("curl -T", swift.curl(source)),
                swift.clear,
            ),
            (
                "to S3",
                {
                    "export_to": "s3://bucket/",
                    "export_to_credentials": swift.keys,
                },
                ("botocore, four parts at once", lambda: swift.parts(source)),
                swift.clear,
            ),
        ):
            title = f"export of {size} MiB, raw, {title}"
            measure(title, source, given, plain, clear)


if __name__ == "__main__":
    main()
