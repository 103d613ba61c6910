# SPDX-License-Identifier: Apache-2.0
"""Names the packages, which lie in two roots; all else is in setup.cfg."""

import setuptools

setuptools.setup(
    package_dir={"glance_tasks_flows": "flows/glance_tasks_flows"},
    packages=[
        *setuptools.find_packages(include=["glance_tasks", "glance_tasks.*"]),
        *setuptools.find_packages("flows"),
    ],
)
