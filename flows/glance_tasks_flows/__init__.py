# SPDX-License-Identifier: Apache-2.0
"""The task types that ship with glance-tasks, through a deployer's door."""
