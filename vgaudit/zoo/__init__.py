"""Named weights: source, revision, digest, licence, loading."""
