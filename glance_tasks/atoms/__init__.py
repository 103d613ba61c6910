# SPDX-License-Identifier: Apache-2.0
"""Revertible atoms to build flows of, one noun a file."""
