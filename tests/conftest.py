# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may ask for."""

from tests.support.databases import database_url
from tests.support.databases import mysql_server
from tests.support.databases import mysql_url
from tests.support.databases import postgresql_server
from tests.support.databases import postgresql_url
from tests.support.databases import sqlite_url
from tests.support.swift import swift
from tests.support.synced import clean_database_url
from tests.support.synced import synced_database_url

__all__ = [
    "clean_database_url",
    "database_url",
    "mysql_server",
    "mysql_url",
    "postgresql_server",
    "postgresql_url",
    "sqlite_url",
    "swift",
    "synced_database_url",
]
