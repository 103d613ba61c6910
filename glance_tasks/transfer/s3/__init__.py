# SPDX-License-Identifier: Apache-2.0
"""Amazon S3 and what speaks like it, by botocore through the guard."""
