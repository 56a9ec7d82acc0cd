"""Turn frames into features: one file per family of model."""
