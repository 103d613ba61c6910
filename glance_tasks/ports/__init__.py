# SPDX-License-Identifier: Apache-2.0
"""The outside world as Protocols: what the library needs, not who gives it.

The ``adapters`` fill these in; a service may hand in its own. Everything here
is called from the threads that run tasks, several at a time, so every
implementation must be safe to share between threads.
"""

from glance_tasks.ports.images import Image as Image
from glance_tasks.ports.images import ImageCatalog as ImageCatalog
from glance_tasks.ports.images import ImageStore as ImageStore
from glance_tasks.ports.images import Members as Members
from glance_tasks.ports.images import ProjectDirectory as ProjectDirectory
from glance_tasks.ports.notifying import Notifier as Notifier
from glance_tasks.ports.running import Artifact as Artifact
from glance_tasks.ports.running import EventLog as EventLog
from glance_tasks.ports.running import Fence as Fence
from glance_tasks.ports.running import Progress as Progress
from glance_tasks.ports.running import StopSignal as StopSignal
from glance_tasks.ports.secrets import KeptSecret as KeptSecret
from glance_tasks.ports.secrets import Secret as Secret
from glance_tasks.ports.secrets import SecretStore as SecretStore
from glance_tasks.ports.transfer import Fetched as Fetched
from glance_tasks.ports.transfer import Fetcher as Fetcher
from glance_tasks.ports.transfer import Parcel as Parcel
from glance_tasks.ports.transfer import Sender as Sender
from glance_tasks.ports.transfer import Sent as Sent
from glance_tasks.ports.transfer import Staged as Staged
from glance_tasks.ports.transfer import Staging as Staging
from glance_tasks.ports.transfer import StagingCache as StagingCache
from glance_tasks.ports.transfer import TempUrls as TempUrls
