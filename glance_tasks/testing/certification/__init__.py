# SPDX-License-Identifier: Apache-2.0
"""Proof that a task type survives anything: every kind of trial, counted.

:func:`certifier.certify` is the library form of ``glance-tasks certify``.
"""
