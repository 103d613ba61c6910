# SPDX-License-Identifier: Apache-2.0
"""The ground of one trial: a database, a store, directories, all its own."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import stat
import tempfile
from typing import Any

from oslo_config import cfg
import sqlalchemy as sa

from glance_tasks import engine as task_engine
from glance_tasks import opts
from glance_tasks import plugin
from glance_tasks import registry
from glance_tasks.persistence import models
from glance_tasks.testing import kept
from glance_tasks.testing.certification import disturbance as disturbing
from glance_tasks.testing.certification import stock
from glance_tasks.testing.certification import subject as subjects

# Rows that a task which has ended must not leave.
_GONE = ("gt_jobs", "gt_locks", "gt_secrets")

_STORES = ("first", "second")

# So small that a sample has many of them.
_CHUNK = 64 << 10


@dataclasses.dataclass(frozen=True)
class Ground:
    """Where one trial takes place; another process can be told of it by JSON.

    :ivar home: holds the directories ``data``, ``scratch`` and ``tmp``
    :ivar url: of the database
    :ivar given: the task's input, with its places put in
    :ivar images: that are there before, ids to files
    :ivar handed: the file that is handed in where the task takes bytes
    """

    home: str
    url: str
    name: str
    place: str | None
    given: Mapping[str, Any]
    options: Mapping[str, Any]
    images: Mapping[str, str] = dataclasses.field(default_factory=dict)
    handed: str = ""

    def make(self) -> None:
        """Make the directories."""
        for part in ("data", "scratch", "tmp"):
            (pathlib.Path(self.home) / part).mkdir(parents=True)
        # Undoing one's own must not undo what others have there.
        stranger = pathlib.Path(self.home) / "scratch" / "somebody-elses"
        stranger.write_text("not yours")

    def stock(self) -> None:
        """Have the images there that the input names."""
        if self.images:
            with self.engine() as engine:
                stock.put(engine, self.images)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have temporary files of this process made in the trial's home."""
        chosen = str(pathlib.Path(self.home) / "tmp")
        before = os.environ.get("TMPDIR"), tempfile.tempdir
        os.environ["TMPDIR"], tempfile.tempdir = chosen, chosen
        try:
            yield
        finally:
            tempfile.tempdir = before[1]
            os.environ.pop("TMPDIR")
            if before[0] is not None:
                os.environ["TMPDIR"] = before[0]

    @contextlib.contextmanager
    def engine(
        self, disturbance: disturbing.Disturbance | None = None
    ) -> Iterator[task_engine.TaskEngine]:
        """Give an engine on what is there: one life of the service.

        :param disturbance: what befalls the atoms; None leaves them alone
        """
        task_type = subjects.load(self.name, self.place)
        if disturbance is not None:
            task_type = disturbing.disturbed(task_type, disturbance)
        engine = task_engine.TaskEngine(
            self._configuration(),
            types=registry.Registry(types={self.name: task_type}, checks={}),
        )
        with contextlib.ExitStack() as stack:
            stack.callback(engine.close)
            if disturbance is not None:
                watched = engine.database.engine
                stack.enter_context(disturbance.effects.watching(watched))
            yield engine

    def _configuration(self) -> cfg.ConfigOpts:
        conf = cfg.ConfigOpts()
        opts.register_opts(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        main = {
            "stores": [f"{name}:directory" for name in _STORES],
            "connection": self.url,
            "data_dir": str(pathlib.Path(self.home) / "data"),
            **self.options,
        }
        fetch = {
            "allowed_networks": ["127.0.0.0/8"],
            "allowed_ports": [],
            "chunk_size": _CHUNK,
        }
        send = {
            "allowed_networks": ["127.0.0.0/8"],
            "allowed_ports": [],
            "file_roots": [str(pathlib.Path(self.home) / "scratch")],
        }
        for group, chosen in (
            ("glance_tasks", main),
            ("glance_tasks_fetch", fetch),
            ("glance_tasks_send", send),
        ):
            for name, value in chosen.items():
                conf.set_override(name, value, group)
        return conf

    def task_type(self) -> type[plugin.TaskType]:
        """Give the class under trial."""
        return subjects.load(self.name, self.place)

    def left(self, engine: task_engine.TaskEngine) -> dict[str, str]:
        """Give all that is there: files, images, rows; names to digests."""
        found = dict(self._files())
        found |= kept.left(engine)
        for image in engine.catalogue.find(limit=1000, hidden=True):
            held = sorted((one.store, one.status) for one in image.locations)
            about = (image.size, image.os_hash_value, image.disk_format)
            members = sorted(engine.catalogue.members(image.id).items())
            text = repr((*about, held, members))
            found[f"image {image.id}"] = _digest(text)
        with engine.database.read() as connection:
            for name in _GONE:
                table = models.METADATA.tables[name]
                count = connection.scalar(
                    sa.select(sa.func.count()).select_from(table)
                )
                if count:
                    found[f"rows in {name}"] = str(count)
        return found

    def _files(self) -> Iterator[tuple[str, str]]:
        home = pathlib.Path(self.home)
        roots = {
            "data/work",
            "data/work/cache",
            "data/staging",
            *(f"data/store-{name}" for name in _STORES),
        }
        for path in sorted(home.glob("*/**/*")):
            name = str(path.relative_to(home))
            # The conductors' own, the database, and the keys of secrets.
            if ".conductors" in path.parts or ".sqlite" in path.name:
                continue
            if name == "data/secret-keys":
                continue
            if name.startswith("data/work/cache/"):
                continue
            with contextlib.suppress(FileNotFoundError):
                about = path.lstat()
                if stat.S_ISREG(about.st_mode):
                    yield name, _digest(path.read_bytes())
                elif name not in roots:
                    yield name, stat.filemode(about.st_mode)[0]


def _digest(data: bytes | str) -> str:
    data = data.encode() if isinstance(data, str) else data
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:12]}"
