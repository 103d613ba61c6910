# SPDX-License-Identifier: Apache-2.0
"""Commands about the images that tasks have made."""

import argparse
import dataclasses
from typing import Any

from glance_tasks import locations
from glance_tasks import ports
from glance_tasks.cmd import answers
from glance_tasks.views import nova


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
        parser.add_argument(
            "--hidden",
            action="store_true",
            help="list those too that are not active, such as those whose"
            " deletion is pending",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each."""
        found = self.engine().catalogue.find(
            limit=parsed_args.limit,
            marker=parsed_args.marker,
            hidden=parsed_args.hidden,
        )
        names = ("id", "name", "status", "disk_format", "size", "owner")
        return names, [
            tuple(getattr(image, name) for name in names) for image in found
        ]


class _OneImage(answers.ShowAnswer):
    """A command about one image."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the image's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument("id", help="id of the image")
        return parser

    @staticmethod
    def shown(image: ports.Image, parsed_args: argparse.Namespace) -> Any:
        """Give an image as columns."""
        pairs = {
            field.name: getattr(image, field.name)
            for field in dataclasses.fields(image)
        }
        pairs["properties"] = dict(image.properties)
        pairs["locations"] = [one.to_dict() for one in image.locations]
        return answers.columns(pairs, parsed_args.formatter)


class ImageShow(_OneImage):
    """Show an image."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give it, whatever its status is."""
        catalogue = self.engine().catalogue
        image = catalogue.get(parsed_args.id, hidden=True)
        return self.shown(image, parsed_args)


class ImageUndelete(_OneImage):
    """Undo the pending deletion of an image, before it begins."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give the image as it is then."""
        catalogue = self.engine().catalogue
        image = catalogue.change_locations(parsed_args.id, locations.undelete)
        return self.shown(image, parsed_args)


class _PastImage(answers.ListAnswer):
    """A command about what was done with one image."""

    def get_parser(self, prog_name: str) -> Any:
        """Take the image's id."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "id", help="id of the image, which may be gone by now"
        )
        return parser

    @property
    def view(self) -> nova.NovaView:
        """What is asked for it."""
        return nova.NovaView(self.engine())


class ImageActions(_PastImage):
    """List what was done with an image, newest first."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row for each."""
        found = self.view.actions(parsed_args.id)
        names = [field.name for field in dataclasses.fields(nova.Action)]
        names.remove("image_id")
        return names, [
            tuple(
                answers.value(getattr(one, name), parsed_args.formatter)
                for name in names
            )
            for one in found
        ]


class ImageFaults(_PastImage):
    """Show why the last thing done with an image failed, if it did."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give a row, or none."""
        fault = self.view.latest_fault(parsed_args.id)
        names = [field.name for field in dataclasses.fields(nova.Fault)]
        rows = [] if fault is None else [dataclasses.astuple(fault)]
        return names, [
            tuple(answers.value(cell, parsed_args.formatter) for cell in row)
            for row in rows
        ]
