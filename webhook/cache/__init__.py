"""One download of a model, shared by many pods through a claim."""
