# SPDX-License-Identifier: Apache-2.0
"""The ports filled in: catalogues that know images, stores that hold them."""
