"""How stages tell the outside where they are. The silent default is what a library call gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stage(Protocol):
    """One stage under way."""

    def advance(self, detail: str = "") -> None:
        """One more item is done."""
        ...


class Progress(Protocol):
    """Receives what happens; implementations must be thread-safe."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """Open a stage of ``total`` items; stages may overlap."""
        ...

    def note(self, text: str) -> None:
        """Say one sentence."""
        ...


class Silent:
    """A :class:`Progress` (and :class:`Stage`) that says nothing."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """Open a stage nobody watches."""
        yield self

    def advance(self, detail: str = "") -> None:
        """Count silently."""

    def note(self, text: str) -> None:
        """Swallow a sentence."""
