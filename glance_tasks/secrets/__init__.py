# SPDX-License-Identifier: Apache-2.0
"""Secrets of tasks: split off at submit, kept apart, shown to atoms only."""
