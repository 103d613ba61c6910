# SPDX-License-Identifier: Apache-2.0
"""Tasks, checkpoints, events and jobs in one database."""
