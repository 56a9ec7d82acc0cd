"""vgaudit: evaluate and safety-audit text-to-video generators."""

__version__ = "0.1.0"
