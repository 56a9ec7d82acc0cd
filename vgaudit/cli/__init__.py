"""The command line."""

from vgaudit.cli.commands import app, main

__all__ = ["app", "main"]
