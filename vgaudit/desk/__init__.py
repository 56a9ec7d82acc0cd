"""The review desk: a web app on this machine alone, in which reviewers decide on the findings of a run."""

from vgaudit.desk.server import DeskServer

__all__ = ["DeskServer"]
