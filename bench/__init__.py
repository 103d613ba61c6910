# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: each a ratio against a peer or a limit of the same run."""
