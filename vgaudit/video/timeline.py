"""Turns a clip's presentation time stamps into seconds, whether they are good, missing or out of order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

FALLBACK_RATE = Fraction(25)
"""Frames per second where neither header nor time stamps say anything."""

_MAX_RATE = 1000


class Timeline:
    """Collects the time stamps of one clip's frames, in presentation order.

    A frame without a stamp follows its predecessor by one nominal frame duration. So does a frame whose
    stamp is not later than its predecessor's, because playback time cannot stand still or run back.
    """

    def __init__(self, time_base: Fraction | None, nominal_rate: Fraction | None) -> None:
        known = nominal_rate is not None and 0 < nominal_rate <= _MAX_RATE
        self.rate_known = known
        self.rate = nominal_rate if known and nominal_rate else FALLBACK_RATE
        self.tick = time_base or Fraction(1, 1000)
        self._origin: Fraction | None = None
        self._times: list[float] = []
        self._last_duration = 0.0
        self._missing = 0
        self._disordered = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, pts: int | None, duration: int | None = None) -> float:
        """Seconds of the next frame from the first; ``pts`` and ``duration`` in ticks of the time base."""
        expected = self._times[-1] + float(1 / self.rate) if self._times else 0.0
        if pts is None:
            self._missing += 1
            seconds = expected
        else:
            if self._origin is None:
                self._origin = pts * self.tick - Fraction(expected)
            seconds = float(pts * self.tick - self._origin)
            if self._times and seconds <= self._times[-1]:
                self._disordered += 1
                seconds = expected
        self._times.append(seconds)
        self._last_duration = float(duration * self.tick) if duration and duration > 0 else 0.0
        return seconds

    @property
    def _gaps(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.diff(np.asarray(self._times, dtype=np.float64))

    @property
    def variable(self) -> bool:
        """Whether a gap between frames differs from the median gap by over 10 % and over two ticks."""
        gaps = self._gaps
        if len(gaps) < 2:
            return False
        median = float(np.median(gaps))
        allowed = max(2.001 * float(self.tick), 0.1 * median)
        return bool(np.abs(gaps - median).max() > allowed)

    @property
    def duration_s(self) -> float:
        """First frame's start to last frame's end; the last lasts as the file says, or the usual gap."""
        if not self._times:
            return 0.0
        if self._even:
            return float(len(self._times) / self.rate)
        usual = float(np.median(self._gaps)) if len(self._times) > 1 else float(1 / self.rate)
        return self._times[-1] + (self._last_duration or usual)

    @property
    def _even(self) -> bool:
        """Whether the nominal rate explains all time stamps, up to their rounding to ticks."""
        if not self.rate_known or self.variable:
            return False
        return abs((len(self._times) - 1) / float(self.rate) - self._times[-1]) <= 2 * float(self.tick)

    @property
    def fps(self) -> float:
        """Average rate: the nominal one where the stamps agree with it, else frames over duration."""
        if not self._times or self._even:
            return float(self.rate)
        return len(self._times) / self.duration_s

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the stamps leave open and was assumed."""
        out = []
        if self._missing:
            count = f"{self._missing} of {len(self._times)} frames"
            out.append(f"{count} have no time stamp: spaced by {float(self.rate):g} frames per second")
        if not self.rate_known and (self._missing or len(self._times) == 1):
            out.append(f"the frame rate is not given: {float(FALLBACK_RATE):g} frames per second assumed")
        return tuple(out)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the stamps."""
        if not self._disordered:
            return ()
        return (
            f"{self._disordered} time stamps are not later than the one before: replaced by even spacing",
        )
