"""Turn features into measurements and results: one file per metric."""
