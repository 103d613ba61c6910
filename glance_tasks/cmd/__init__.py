# SPDX-License-Identifier: Apache-2.0
"""The ``glance-tasks`` command."""
