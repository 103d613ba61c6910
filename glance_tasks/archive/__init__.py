# SPDX-License-Identifier: Apache-2.0
"""Archives that hold one disk image, read as a stream of its bytes."""
