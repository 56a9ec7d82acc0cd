"""Look-alike faces against a gallery of people; knows nothing of HTML."""
