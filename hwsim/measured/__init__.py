"""Models against measured machines: a user's own measurements, the errors of a model on them, and a picture."""
