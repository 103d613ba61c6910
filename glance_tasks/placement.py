# SPDX-License-Identifier: Apache-2.0
"""Which tasks a conductor leaves to others.

A type may ask for labels, such as ``zone=periphery``, and so may the operator
for it: images leave the cloud at its edge, where nobody else's work is. A
conductor claims what it has all the labels for. Nothing of it is stored, so
that a change affects the tasks that wait, too.
"""

from oslo_config import cfg

from glance_tasks import choices
from glance_tasks import registry


def labels_of(
    types: registry.Registry, conf: cfg.ConfigOpts, type_name: str
) -> frozenset[str]:
    """Give the labels that tasks of a type ask for.

    :param type_name: need not be installed here
    :raises ConfigurationError: when ``placement`` is malformed
    """
    asked = choices.names(conf.glance_tasks.placement, type_name)
    if type_name in types.names():
        asked |= set(types.get(type_name).requires_labels)
    return frozenset(asked)


def left_to_others(
    types: registry.Registry, conf: cfg.ConfigOpts
) -> frozenset[str]:
    """Give the types of which this host's conductors claim no task.

    :raises ConfigurationError: when ``placement`` is malformed
    """
    ours = set(conf.glance_tasks.labels)
    placed = {pair.partition(":")[0] for pair in conf.glance_tasks.placement}
    return frozenset(
        name
        for name in placed | set(types.names())
        if labels_of(types, conf, name) - ours
    )
