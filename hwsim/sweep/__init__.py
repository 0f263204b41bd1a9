"""Design-space sweeps: a question in YAML, answered with a store, a front and a page."""
