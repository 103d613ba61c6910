# SPDX-License-Identifier: Apache-2.0
"""OpenStack Swift, spoken by its own HTTP interface through the guard."""
