# SPDX-License-Identifier: Apache-2.0
"""From a configuration to what tasks work with."""

from typing import Any

from oslo_config import cfg
import sqlalchemy as sa
from stevedore import driver

from glance_tasks import building
from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import keyring
from glance_tasks import location_speed
from glance_tasks import opts
from glance_tasks import ports
from glance_tasks import registry
from glance_tasks import temp_urls
from glance_tasks.transfer import fetcher as transfer_fetcher
from glance_tasks.transfer import rules as transfer_rules
from glance_tasks.transfer import sender as transfer_sender


def adapter(
    conf: cfg.ConfigOpts,
    engine: sa.Engine,
    kind: str,
    name: str,
    which: str = "",
) -> Any:
    """Make what fills in a port, by its entry point.

    :param kind: of the port, such as ``store``
    :param name: of the entry point
    :param which: its own name, where there are several of a kind
    :raises ConfigurationError: when it cannot be made
    """
    group = f"glance_tasks.{kind}s"
    try:
        factory: Any = driver.DriverManager(group, name).driver
        more = (which,) if which else ()
        return factory(conf, engine, *more)
    except exceptions.GlanceTasksError:
        raise
    except Exception as error:  # a plugin raises anything
        raise exceptions.ConfigurationError(
            f"{kind} = {name!r} cannot be loaded from {group}:"
            f" {type(error).__name__}: {error}"
        ) from error


def surroundings(
    conf: cfg.ConfigOpts,
    *,
    fetcher: ports.Fetcher | None,
    sender: ports.Sender | None,
    **parts: Any,
) -> building.Surroundings:
    """Give what every run shares.

    :param fetcher: that of the configuration when None; so the sender
    :param parts: what the engine has already
    """
    return building.Surroundings(
        speeds=location_speed.SpeedBook(opts.speed_file(conf)),
        fetcher=fetcher or guarded_fetcher(conf),
        sender=sender or guarded_sender(conf),
        limits=limits(conf),
        scrubbing=scrubbing(conf),
        **parts,
    )


def signer(conf: cfg.ConfigOpts) -> temp_urls.TempUrls | None:
    """Give what signs temporary URLs, where there is an address for them."""
    endpoint = conf.glance_tasks.public_endpoint
    if not endpoint:
        return None
    # By index: an attribute of this name is the mapping's own.
    lines = conf.glance_tasks_secrets["keys"]
    source = keyring.KeySource(lines, opts.key_file(conf))
    return temp_urls.TempUrls(endpoint, source)


def limits(conf: cfg.ConfigOpts) -> context.Limits:
    """Give what one task may use at most."""
    return context.Limits(
        max_bytes=conf.glance_tasks_fetch.max_bytes,
        max_virtual_size=conf.glance_tasks_convert.max_virtual_size,
        convert_min_rate=conf.glance_tasks_convert.min_rate,
        convert_memory=conf.glance_tasks_convert.memory,
        unpack_max_bytes=conf.glance_tasks_unpack.max_bytes,
        unpack_max_ratio=conf.glance_tasks_unpack.max_ratio,
        unpack_memory=conf.glance_tasks_unpack.memory,
        delete_delay=conf.glance_tasks_delete.delay,
        upload_max_bytes=conf.glance_tasks_upload.max_bytes,
        upload_timeout=conf.glance_tasks_upload.timeout,
    )


def scrubbing(conf: cfg.ConfigOpts) -> context.Scrubbing:
    """Give how images that leave are scrubbed.

    :raises ConfigurationError: when ``refuse_properties`` is malformed
    """
    group = conf.glance_tasks_scrub
    for rule in group.refuse_properties:
        if "=" not in rule:
            raise exceptions.ConfigurationError(
                f"refuse_properties has {rule!r}; expected NAME=VALUE"
            )
    return context.Scrubbing(
        keep_properties=tuple(group.keep_properties),
        remove_properties=tuple(group.remove_properties),
        refuse_properties=tuple(group.refuse_properties),
        command=tuple(group.command),
        command_timeout=group.command_timeout,
        command_processor_time=group.command_processor_time,
        command_memory=group.command_memory,
    )


def _both_ways(group: cfg.ConfigOpts.GroupAttr) -> dict[str, Any]:
    return {
        "schemes": tuple(group.allowed_schemes),
        "ports": tuple(group.allowed_ports),
        "networks": tuple(group.allowed_networks),
        "file_roots": tuple(group.file_roots),
        "connect_timeout": group.connect_timeout,
        "read_timeout": group.read_timeout,
        "max_rate": group.max_rate or 0,
    }


def guarded_fetcher(conf: cfg.ConfigOpts) -> ports.Fetcher:
    """Give the guarded way in."""
    group = conf.glance_tasks_fetch
    rules = transfer_rules.FetchRules(
        **_both_ways(group),
        max_bytes=group.max_bytes,
        chunk_size=group.chunk_size,
        min_rate=group.min_rate,
    )
    return transfer_fetcher.GuardedFetcher(
        rules, factories=registry.endpoints()
    )


def guarded_sender(conf: cfg.ConfigOpts) -> ports.Sender:
    """Give the guarded way out."""
    group = conf.glance_tasks_send
    rules = transfer_rules.SendRules(
        **_both_ways(group),
        chunk_size=group.part_size,
        parts_at_once=group.parts_at_once,
    )
    return transfer_sender.GuardedSender(rules, factories=registry.endpoints())
