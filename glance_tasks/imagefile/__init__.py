# SPDX-License-Identifier: Apache-2.0
"""Image files: looking into them, reading them as disks, converting them."""
