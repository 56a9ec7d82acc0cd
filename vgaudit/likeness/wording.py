"""The sentences that stand beside every likeness hit, in one place so that no report softens them."""

FIXED_WORDS = "not the probability that this is the person; face only, not voice, body or name"

UNCALIBRATED = "uncalibrated"
"""Label of a hit that was held against a published threshold and not against unrelated people."""

NO_GALLERY_GIVEN = "no gallery of people was given, so nobody was compared"
"""Beside everything that is said of faces in a run without a gallery."""

NOT_CALIBRATED = "uncalibrated: give a cohort of unrelated people (`vgaudit gallery calibrate`)"
"""Instead of everything that only a cohort can tell."""
