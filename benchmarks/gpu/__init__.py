"""What a GPU makes of this package: see ``python -m benchmarks.gpu --help``."""
