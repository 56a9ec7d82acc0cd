"""Turn samples into clips: one file per kind of generator."""
