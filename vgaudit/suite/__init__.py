"""The suite: what a user asks for, loaded from YAML with errors that point at their cause."""

from vgaudit.suite.checks import BackendChoice, MetricChoice
from vgaudit.suite.json_schema import json_schema
from vgaudit.suite.loading import LoadedSuite, bundled_suites, load_suite, load_suite_text
from vgaudit.suite.schema import Suite

__all__ = [
    "BackendChoice",
    "LoadedSuite",
    "MetricChoice",
    "Suite",
    "bundled_suites",
    "json_schema",
    "load_suite",
    "load_suite_text",
]
