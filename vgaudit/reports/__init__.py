"""Write what a run found for people and machines; imports no torch."""
