# SPDX-License-Identifier: Apache-2.0
"""The main job, shown: an import that is killed half-way, and an export.

A small disk image with a file system in it is served slowly over HTTP and
imported as qcow2 to raw on the embedded default. The conductor is killed with
SIGKILL in mid-transfer; another one goes on. Then the image is exported, in
another format, to a directory. Run it with
``./tools/tox -e demo``; it takes half a minute and leaves nothing behind.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from glance_tasks.testing import http_source

MIB = 1 << 20
RATE = 6 * MIB
CHUNK = 4 * MIB
COMMAND = [sys.executable, "-m", "glance_tasks.cmd.main"]


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


def heading(text: str) -> None:
    """Print what comes next."""
    say(f"\n== {text}")


class Demo:
    """One showing, in a directory of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Prepare to show in ``folder``."""
        self.folder = folder
        self.config = folder / "demo.conf"
        self.source = folder / "source.qcow2"
        self.data_dir = folder / "data"
        self.outside = folder / "exports"
        self.outside.mkdir()

    # --- what it is shown with -----------------------------------------------

    def make_source(self) -> None:
        """Make an ext4 file system of 96 MiB with 40 MiB in it, as qcow2."""
        tree, raw = self.folder / "tree", self.folder / "source.raw"
        tree.mkdir()
        (tree / "hello.txt").write_text("Hello from inside the image.\n")
        (tree / "random.bin").write_bytes(os.urandom(40 * MIB))
        with raw.open("wb") as file:
            file.truncate(96 * MIB)
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(raw))
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
        run(*convert, str(raw), str(self.source))
        raw.unlink()
        shutil.rmtree(tree)
        say(
            "made source.qcow2: ext4, 96 MiB,"
            f" {self.source.stat().st_size / MIB:.1f} MiB as a file"
        )

    def configure(self, port: int) -> None:
        """Allow the one loopback port that the source is served from."""
        self.config.write_text(
            "[glance_tasks]\npoll_interval = 0.2\n"
            "[glance_tasks_fetch]\n"
            "allowed_networks = 127.0.0.0/8\n"
            f"allowed_ports = {port}\n"
            f"chunk_size = {CHUNK}\n"
            "[glance_tasks_send]\n"
            f"file_roots = {self.outside}\n"
        )

    def command(self, *words: str) -> list[str]:
        """Give the whole of a glance-tasks command."""
        return [
            *COMMAND,
            *("--config-file", str(self.config)),
            *("--data-dir", str(self.data_dir)),
            *words,
        ]

    def ask(self, *words: str) -> Any:
        """Run a glance-tasks command; give its JSON."""
        return json.loads(run(*self.command(*words), "-f", "json"))

    def show(self, *words: str) -> None:
        """Run a glance-tasks command; print what it prints."""
        say(f"$ glance-tasks {' '.join(words[:3])}")
        say(run(*self.command(*words, "--max-width", "80")))

    # --- what is shown -------------------------------------------------------

    def submit(self, url: str) -> str:
        """Submit the import; give the task's id."""
        heading("submit an import: qcow2 to raw")
        given = {
            "import_from": url,
            "import_from_format": "qcow2",
            "image_properties": {
                "name": "demo",
                "disk_format": "raw",
                "container_format": "bare",
            },
        }
        file = self.folder / "import.json"
        file.write_text(json.dumps(given, indent=2))
        say(f"$ cat import.json\n{file.read_text()}")
        say("$ glance-tasks task submit import @import.json")
        task = self.ask("task", "submit", "import", f"@{file}")
        say(f"task {task['id']} is {task['status']}")
        return str(task["id"])

    def kill_half_way(self, task_id: str) -> None:
        """Start a conductor and kill it when half the bytes have come."""
        heading("a conductor begins, and is killed half-way")
        conductor = self.conductor()
        shown = -1
        while True:
            progress = self.ask("task", "show", task_id)["progress"]
            tenth = int(progress.get("ratio", 0) * 10)
            if progress.get("step") == "FetchImage" and tenth > shown:
                shown = tenth
                say(f"FetchImage {bar(progress['ratio'])}")
            if progress.get("ratio", 0) >= 0.5 or conductor.poll() is not None:
                break
        conductor.send_signal(signal.SIGKILL)
        conductor.wait()
        say(f"kill -9 {conductor.pid}")
        task = self.ask("task", "show", task_id)
        say(f"the task says: {task['status']}, {task['phase']}")

    def resume(self, task_id: str) -> None:
        """Let another conductor go on; follow it."""
        heading("another conductor goes on")
        conductor = self.conductor("--until-idle")
        say("$ glance-tasks task watch ID")
        subprocess.run(self.command("task", "watch", task_id), check=True)
        conductor.wait()

    def conductor(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a conductor, its log beside the data."""
        with (self.folder / "conductor.log").open("ab") as log:
            return subprocess.Popen(
                self.command("conductor", "run", *words),
                stdout=log,
                stderr=log,
            )

    def account(self, resource: str, server: http_source.HttpSource) -> None:
        """Say which bytes were sent twice."""
        heading("what the source saw")
        requests = [r for r in server.requests if r.path == resource]
        for number, request in enumerate(requests, 1):
            asked = request.headers.get("range", "everything")
            say(
                f"request {number}: {asked:18} sent"
                f" {request.sent / MIB:6.1f} MiB"
            )
        again = sum(r.sent for r in requests) - self.source.stat().st_size
        say(
            f"sent twice: {again / MIB:.1f} MiB; promised: at most one chunk"
            f" of {CHUNK / MIB:.0f} MiB"
        )

    def compare(self, task_id: str) -> None:
        """Show that the image's content is the source's."""
        heading("the image against its source")
        result = self.ask("task", "show", task_id)["result"]
        stored = self.data_dir / "store" / result["image_id"]
        compared = ["qemu-img", "compare", "-f", "qcow2", "-F", "raw"]
        say("$ qemu-img compare -f qcow2 -F raw source.qcow2 IMAGE")
        say(run(*compared, str(self.source), str(stored)).strip())
        say("$ debugfs -R 'cat hello.txt' IMAGE")
        say(run("debugfs", "-R", "cat hello.txt", str(stored)).strip())
        left = [p for p in (self.data_dir / "work").rglob("*") if p.is_file()]
        say(f"files left in the work directory: {len(left)}")

    def export(self, image_id: str) -> None:
        """Send the image out as vmdk; show that it is the same disk."""
        heading("and out again, as vmdk")
        given = {
            "image_id": image_id,
            "export_to": f"file://{self.outside}",
            "export_format": "vmdk",
        }
        say("$ cat export.json")
        say(json.dumps(given, indent=2).replace(str(self.folder), "..."))
        file = self.folder / "export.json"
        file.write_text(json.dumps(given))
        say("$ glance-tasks task submit export @export.json --wait")
        words = self.command("task", "submit", "export", f"@{file}", "--wait")
        task = json.loads(run(*words, "-f", "json"))
        facts = ("status", "type", "attempts")
        say(", ".join(f"{name}: {task[name]}" for name in facts))
        for name in ("disk_format", "size", "checksum"):
            say(f"{name}: {task['result'][name]}")
        (made,) = self.outside.iterdir()
        compared = ["qemu-img", "compare", "-f", "qcow2", "-F", "vmdk"]
        say("$ qemu-img compare -f qcow2 -F vmdk source.qcow2 EXPORT")
        say(run(*compared, str(self.source), str(made)).strip())


def bar(ratio: float) -> str:
    """Draw a ratio of 0 to 1."""
    return f"[{'#' * int(ratio * 40):40}] {ratio:4.0%}"


def run(*words: str) -> str:
    """Run a program; give what it prints.

    :raises SystemExit: when it fails
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words[0]} failed: {done.stderr or done.stdout}")
    return done.stdout.rstrip()


def timeline(demo: Demo, task_id: str) -> None:
    """Print the timeline of a task, one event a line."""
    heading("the timeline")
    say("$ glance-tasks task events ID")
    for event in demo.ask("task", "events", task_id):
        clock = event["at"][11:23]
        atom = event["atom"] or ""
        say(f"{clock} {event['event']:14} {atom:14} {event['text'][:36]}")


def main() -> None:
    """Show it all."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="glance-tasks-demo-") as name:
        demo = Demo(pathlib.Path(name))
        heading("a disk image, served slowly")
        demo.make_source()
        with http_source.HttpSource() as server:
            url = server.put(
                "/source.qcow2",
                http_source.Resource(body=demo.source, rate=RATE),
            )
            say(f"served at {url}, {RATE / MIB:.0f} MiB/s")
            demo.configure(server.port)
            task_id = demo.submit(url)
            demo.kill_half_way(task_id)
            demo.resume(task_id)
            demo.account("/source.qcow2", server)
        timeline(demo, task_id)
        heading("the image in the catalogue")
        image_id = demo.ask("task", "show", task_id)["image_id"]
        demo.show("image", "show", image_id)
        demo.compare(task_id)
        demo.export(image_id)
    say(f"\nall of it in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
