# SPDX-License-Identifier: Apache-2.0
"""Other systems' words for our tasks; nothing of it is stored."""
