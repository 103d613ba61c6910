# SPDX-License-Identifier: Apache-2.0
"""What happens beside the work of a run."""
