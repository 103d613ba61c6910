# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may ask for."""

from tests.support.databases import database_url
from tests.support.databases import mysql_server
from tests.support.databases import mysql_url
from tests.support.databases import postgresql_server
from tests.support.databases import postgresql_url
from tests.support.databases import sqlite_url

__all__ = [
    "database_url",
    "mysql_server",
    "mysql_url",
    "postgresql_server",
    "postgresql_url",
    "sqlite_url",
]
