# SPDX-License-Identifier: Apache-2.0
"""Where bytes lie that a service hands in, until their task has taken them.

A directory a task, with the file, its ledger and a lock. Whoever hands bytes
in and whoever runs the task must see the same directory.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import errno
import fcntl
import os
import pathlib
from typing import BinaryIO

from glance_tasks import belonging
from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import ports
from glance_tasks.transfer import download
from glance_tasks.transfer import endpoint
from glance_tasks.transfer import order as orders
from glance_tasks.transfer import resumption
from glance_tasks.transfer import rules as fetch_rules
from glance_tasks.transfer import stored
from glance_tasks.transfer import workfile

_DATA, _LOCK = "data", "lock"

# Another file system, or one without hard links: then the bytes are copied.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}


def reception_uri(task_id: str) -> str:
    """Give the address under which ledgers know what a task is handed."""
    return f"upload:{task_id}"


class StagingArea(belonging.TaskDirectories):
    """The bytes handed in for all tasks; safe to share between threads.

    Implements :class:`glance_tasks.ports.Staging`.
    """

    def path(self, task_id: str) -> pathlib.Path:
        """Give the place of a task's bytes."""
        return self._home(task_id) / _DATA

    def staged(self, task_id: str) -> ports.Staged:
        """Tell how far they are there."""
        path = self.path(task_id)
        record = ledger.read(path)
        try:
            changed_at = max(
                one.stat().st_mtime for one in (path, ledger.beside(path))
            )
        except FileNotFoundError:
            changed_at = None
        if record is None:
            return ports.Staged(changed_at=changed_at)
        done = record.done
        whole = done is not None and workfile.size(path) == done.offset
        return ports.Staged(record.offset, whole, changed_at)

    @contextlib.contextmanager
    def held(self, task_id: str) -> Iterator[pathlib.Path]:
        """Keep others from handing bytes in for this task; give the place.

        :raises TaskConflict: when somebody does so already
        :raises OSError: when it cannot be made
        """
        home = self._home(task_id)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._mark.put(home)
        with (home / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise exceptions.TaskConflict(
                    f"somebody hands in bytes for task {task_id} already"
                ) from None
            yield home / _DATA

    def bring(
        self,
        task_id: str,
        path: pathlib.Path,
        *,
        algorithms: Sequence[str],
        stop: ports.StopSignal,
        progress: ports.Progress,
    ) -> ports.Fetched:
        """Have the bytes at ``path``; see :class:`ports.Staging`."""
        source = self.path(task_id)
        record = ledger.read(source)
        done = record.done if record else None
        if done is None:
            raise AssertionError("only whole files are brought")
        wanted = orders.Order(
            uri=reception_uri(task_id),
            path=path,
            algorithms=tuple(sorted(algorithms)),
            max_bytes=done.offset,
            stop=stop,
            progress=progress,
        )
        if not _link(source, path):
            return self._copied(task_id, wanted, done)
        digests = done.digests
        if not set(algorithms) <= digests.keys():
            # It came in pieces, and nobody has read it from its beginning.
            digests = _digests(wanted)
        _note(wanted, digests)
        return ports.Fetched(done.offset, digests)

    def verified(
        self,
        task_id: str,
        path: pathlib.Path,
        *,
        algorithms: Sequence[str],
        stop: ports.StopSignal,
        progress: ports.Progress,
    ) -> ports.Fetched | None:
        """Read another task's bytes again; see :class:`ports.Staging`."""
        wanted = orders.Order(
            uri=reception_uri(task_id),
            path=path,
            algorithms=tuple(sorted(algorithms)),
            max_bytes=workfile.size(path),
            stop=stop,
            progress=progress,
        )
        done = resumption.finished(wanted)
        return ports.Fetched(done.offset, done.digests) if done else None

    def _copied(
        self, task_id: str, wanted: orders.Order, done: ledger.Mark
    ) -> ports.Fetched:
        validator = f"{task_id} {done.digests}"
        identity = endpoint.Identity(validator, done.offset)
        # To it we are a store.
        one = stored.ObjectEndpoint(self, task_id, identity)
        rules = fetch_rules.FetchRules(min_rate=0)
        found = download.Download(wanted, one, rules).run()
        if any(found.digests.get(n, d) != d for n, d in done.digests.items()):
            ledger.remove(wanted.path)
            raise exceptions.ChecksumMismatch(
                "the bytes that were handed in are not there any more as they"
                " came"
            )
        return found

    def open(self, key: str) -> BinaryIO:
        """Open the bytes of a task."""
        return self.path(key).open("rb")


def _digests(wanted: orders.Order) -> dict[str, str]:
    """Read the file of an order for its digests."""
    states = digest.fresh_states(wanted.algorithms)
    with digest.opened(wanted.path) as fd, digest.Digests(states) as digests:
        digest.hash_file(
            *(digests, fd, 0, wanted.max_bytes, wanted.stop.check),
            lambda offset: wanted.progress.bytes(offset, wanted.max_bytes),
        )
        return digests.hexdigests()


def _note(wanted: orders.Order, digests: Mapping[str, str]) -> None:
    """Put a ledger beside the file of an order that is whole."""
    size = wanted.max_bytes
    known = {name: digests[name] for name in wanted.algorithms}
    header = wanted.header(endpoint.Identity(None, size))
    record = ledger.Record(header, (ledger.Mark(size, known, done=True),))
    ledger.Ledger(wanted.path, record).close()


def _link(source: pathlib.Path, path: pathlib.Path) -> bool:
    """Give the file another name; nobody writes to one that is whole."""
    ledger.remove(path)
    try:
        os.link(source, path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    ledger.sync_directory(path.parent)
    return True
