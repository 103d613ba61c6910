# SPDX-License-Identifier: Apache-2.0
"""Virtual environments with nothing of the tests' own in them."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

_OURS = ("PYTHONPATH", "GLANCE_TASKS_DATA_DIR", "VIRTUAL_ENV")
# What no clone would hold, where there is no git to say so.
_MADE = {".tox", ".tox-venv", ".venv", "__pycache__", "build", "dist"}
_MADE_ENDINGS = ("_cache", ".egg-info", ".hypothesis")


def environment(**more: str) -> dict[str, str]:
    """Give this process's environment without what would lead back to it."""
    kept = {k: v for k, v in os.environ.items() if k not in _OURS}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}


def run(*command: object, cwd: pathlib.Path, **env: str) -> str:
    """Run to the end and give what was printed.

    :raises AssertionError: with all of that, when it fails
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, f"{command} said:\n{done.stdout}"
    return done.stdout


def make(folder: pathlib.Path) -> pathlib.Path:
    """Make an environment with nothing but pip in it; give its ``bin``."""
    run(sys.executable, "-m", "venv", "fresh", cwd=folder)
    return folder / "fresh" / "bin"


def source_files() -> list[pathlib.Path]:
    """List what a clone would hold, relative to the root."""
    if not (ROOT / ".git").exists():
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        return [p for p in found if (ROOT / p).is_file() and not _is_made(p)]
    listed = run(
        *("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached"),
        *("--others", "--exclude-standard"),
        cwd=ROOT,
    )
    paths = (pathlib.Path(name) for name in listed.split("\0") if name)
    return [path for path in paths if (ROOT / path).is_file()]


def _is_made(path: pathlib.Path) -> bool:
    return any(
        part in _MADE or part.endswith(_MADE_ENDINGS) for part in path.parts
    )
