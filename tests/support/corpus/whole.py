# SPDX-License-Identifier: Apache-2.0
"""The whole corpus: every hostile image and every honest one."""

from tests.support.corpus import giants
from tests.support.corpus import plain
from tests.support.corpus import qcow2
from tests.support.corpus import real
from tests.support.corpus import vdi
from tests.support.corpus import vhd
from tests.support.corpus import vhdx
from tests.support.corpus import vmdk

HOSTILE = [
    *qcow2.SPECIMENS,
    *vmdk.SPECIMENS,
    *vhd.SPECIMENS,
    *vhdx.SPECIMENS,
    *vdi.SPECIMENS,
    *plain.SPECIMENS,
    *real.SPECIMENS,
    *giants.SPECIMENS,
]

HONEST = [*real.HONEST, *giants.HARMLESS]

SPECIMENS = [*HOSTILE, *HONEST]
