"""``python -m vgaudit`` is ``vgaudit``."""

from vgaudit.cli import main

main()
