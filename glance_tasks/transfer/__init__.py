# SPDX-License-Identifier: Apache-2.0
"""Bytes from elsewhere: guarded, in one pass, and resumable after a kill."""
