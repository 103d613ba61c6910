# SPDX-License-Identifier: Apache-2.0
"""The plugins that are installed: task types and checks, by entry point.

One that cannot be loaded, or breaks the contract, is kept with its reason: the
conductor logs it at start and ``doctor`` names it. Nothing is swallowed.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import difflib
import functools
from importlib import metadata
import threading
from typing import Any
from typing import TypeVar

from stevedore import named

from glance_tasks import exceptions
from glance_tasks import plugin
from glance_tasks import schema

TYPES = "glance_tasks.task_types"
CHECKS = "glance_tasks.checks"
ENDPOINTS = "glance_tasks.endpoints"

_Plugin = TypeVar("_Plugin")


class Registry:
    """What is installed, read once; safe to share between threads."""

    def __init__(
        self,
        types: Mapping[str, type[plugin.TaskType]] | None = None,
        checks: Mapping[str, type[plugin.Atom]] | None = None,
    ) -> None:
        """Read the entry points.

        :param types: task types by name, instead of those installed
        :param checks: check atoms by name, instead of those installed
        """
        self._given: dict[str, Mapping[str, Any] | None] = {
            TYPES: types,
            CHECKS: checks,
        }
        self._loaded: dict[str, dict[str, Any]] = {}
        self._broken: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Give the names of the task types that work, sorted."""
        return sorted(self._group(TYPES, _task_type))

    def get(self, name: str) -> plugin.TaskType:
        """Give a task type.

        :raises TaskTypeNotFound: when none of that name is installed
        :raises BrokenPlugin: when it is, and cannot be used
        """
        types: dict[str, plugin.TaskType] = self._group(TYPES, _task_type)
        return _pick(types, name, "task type", self._broken[TYPES])

    def checks(self, names: Iterable[str]) -> dict[str, type[plugin.Atom]]:
        """Give check atoms by name.

        :raises TaskTypeNotFound: when one is not installed
        :raises BrokenPlugin: when one is, and cannot be used
        """
        known: dict[str, type[plugin.Atom]] = self._group(CHECKS, _check)
        return {
            name: _pick(known, name, "check", self._broken[CHECKS])
            for name in names
        }

    def broken(self) -> dict[str, str]:
        """Give what is installed but unusable: ``group:name`` to reason."""
        self._group(TYPES, _task_type)
        self._group(CHECKS, _check)
        return {
            f"{group}:{name}": reason
            for group, reasons in self._broken.items()
            for name, reason in sorted(reasons.items())
        }

    def _group(
        self, group: str, admit: Callable[[Any], _Plugin]
    ) -> dict[str, _Plugin]:
        with self._lock:
            if group not in self._loaded:
                broken: dict[str, str] = {}
                found = self._given[group]
                if found is None:
                    found = _installed(group, broken)
                self._loaded[group] = _admitted(found, admit, broken)
                self._broken[group] = broken
            return self._loaded[group]


def endpoints() -> dict[str, Callable[..., Any]]:
    """Give the factories of the installed endpoints, by scheme.

    Each is loaded when it is first called: what it needs takes a while, and
    may be an extra that is not installed; then it raises ``ImportError``.
    """
    return {
        entry.name: functools.partial(_make_endpoint, entry)
        for entry in metadata.entry_points(group=ENDPOINTS)
    }


def _make_endpoint(entry: metadata.EntryPoint, *args: Any) -> Any:
    try:
        return entry.load()(*args)
    except ImportError:
        raise
    except Exception as error:  # a plugin raises anything
        raise exceptions.ConfigurationError(
            f"the endpoint for {entry.name}:// addresses cannot be loaded:"
            f" {_reason(error)}"
        ) from error


def _installed(group: str, broken: dict[str, str]) -> dict[str, Any]:
    def failed(_manager: Any, entry: Any, error: BaseException) -> None:
        broken[entry.name] = _reason(error)

    found = {}
    # One by one: stevedore passes an AssertionError of one plugin on, and
    # then no other would be loaded.
    for name in {entry.name for entry in metadata.entry_points(group=group)}:
        try:
            loaded = named.NamedExtensionManager(
                group, [name], on_load_failure_callback=failed
            )
            found.update({item.name: item.plugin for item in loaded})
        except (AssertionError, SystemExit) as error:
            broken[name] = _reason(error)
    return found


def _admitted(
    found: Mapping[str, Any],
    admit: Callable[[Any], _Plugin],
    broken: dict[str, str],
) -> dict[str, _Plugin]:
    admitted = {}
    for name, candidate in found.items():
        try:
            admitted[name] = admit(candidate)
        except Exception as error:  # noqa: BLE001 - a plugin raises anything
            broken[name] = _reason(error)
    return admitted


def _reason(error: BaseException) -> str:
    if isinstance(error, exceptions.BrokenPlugin):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _pick(
    known: Mapping[str, _Plugin],
    name: str,
    what: str,
    broken: Mapping[str, str],
) -> _Plugin:
    if name in known:
        return known[name]
    if name in broken:
        raise exceptions.BrokenPlugin(
            f"the {what} {name!r} cannot be used: {broken[name]}"
        )
    near = difflib.get_close_matches(name, known, n=1)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else f"installed are: {', '.join(sorted(known)) or 'none'}"
    )
    raise exceptions.TaskTypeNotFound(f"there is no {what} {name!r}; {hint}")


def _task_type(candidate: Any) -> plugin.TaskType:
    if not (
        isinstance(candidate, type) and issubclass(candidate, plugin.TaskType)
    ):
        raise exceptions.BrokenPlugin(
            f"{candidate!r} is no task type; expected a subclass of TaskType"
        )
    if candidate.api != plugin.API:
        raise exceptions.BrokenPlugin(
            f"it is made for version {candidate.api} of the plugin contract;"
            f" this release has {plugin.API}"
        )
    for name in ("input_schema", "result_schema"):
        if not hasattr(candidate, name):
            raise exceptions.BrokenPlugin(f"it has no {name}")
        schema.check_schema(getattr(candidate, name))
    _check_secrets(candidate)
    _check_times(candidate)
    if candidate.build is plugin.TaskType.build:
        raise exceptions.BrokenPlugin("it has no build()")
    return candidate()


def _check_times(candidate: type[plugin.TaskType]) -> None:
    limit, policy = candidate.time_limit, candidate.on_stall
    if limit is not None and not (isinstance(limit, int) and limit > 0):
        raise exceptions.BrokenPlugin(
            f"its time_limit is {limit!r}; expected whole seconds, or None"
        )
    if policy not in plugin.ON_STALL:
        raise exceptions.BrokenPlugin(
            f"its on_stall is {policy!r}; expected one of"
            f" {', '.join(plugin.ON_STALL)}"
        )


def _check_secrets(candidate: type[plugin.TaskType]) -> None:
    names = candidate.secret_inputs
    if isinstance(names, str):
        raise exceptions.BrokenPlugin(
            f"its secret_inputs are the text {names!r}; expected a list"
        )
    known = candidate.input_schema.get("properties", {})
    unknown = [repr(name) for name in names if name not in known]
    if unknown:
        raise exceptions.BrokenPlugin(
            f"its secret_inputs name {', '.join(unknown)}; expected"
            " properties of its input_schema"
        )


def _check(candidate: Any) -> type[plugin.Atom]:
    if not (
        isinstance(candidate, type) and issubclass(candidate, plugin.Atom)
    ):
        raise exceptions.BrokenPlugin(
            f"{candidate!r} is no check; expected a subclass of Atom"
        )
    if not hasattr(candidate, "behaviour"):
        raise exceptions.BrokenPlugin("it declares no behaviour")
    return candidate
