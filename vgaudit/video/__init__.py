"""Clips: decoded once in bounded blocks, probed, encoded; hostile media refused with a reason."""

from vgaudit.video.containers import MediaLimits
from vgaudit.video.frames import ClipInfo, Frames, short_side_size
from vgaudit.video.reader import ClipReader, decodes_started, probe

__all__ = ["ClipInfo", "ClipReader", "Frames", "MediaLimits", "decodes_started", "probe", "short_side_size"]
