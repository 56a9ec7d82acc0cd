"""Two runs against each other: is the candidate worse than the base, on what, and how sure is that?

A side of a comparison is a run directory or a baseline file. Both are first made the same thing, a
:class:`~vgaudit.compare.snapshot.Snapshot`, and all numbers follow from two of these: so a baseline gives what the
run gives that it was saved from. Nothing is measured and no model is touched.
"""
