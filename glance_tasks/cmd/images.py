# SPDX-License-Identifier: Apache-2.0
"""Commands about the images that tasks have made."""

import argparse
import dataclasses
from typing import Any

from glance_tasks.cmd import answers


class ImageList(answers.ListAnswer):
    """List images, newest first."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the page."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--limit",
            type=int,
            default=25,
            help="how many to list at most (default: 25)",
        )
        parser.add_argument(
            "--marker", help="id of the last image of the page before"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each."""
        found = self.engine().catalogue.find(
            limit=parsed_args.limit, marker=parsed_args.marker
        )
        names = ("id", "name", "status", "disk_format", "size", "owner")
        return names, [
            tuple(getattr(image, name) for name in names) for image in found
        ]


class ImageShow(answers.ShowAnswer):
    """Show an image."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the image's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of the image")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give it."""
        image = self.engine().catalogue.get(parsed_args.id)
        pairs = {
            field.name: getattr(image, field.name)
            for field in dataclasses.fields(image)
        }
        pairs["properties"] = dict(image.properties)
        pairs["locations"] = [one.to_dict() for one in image.locations]
        return answers.columns(pairs, parsed_args.formatter)
