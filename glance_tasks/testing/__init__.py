# SPDX-License-Identifier: Apache-2.0
"""What those who write task types test them with; extra ``[testing]``."""
