"""How work is cut and in which order it runs, where a model leaves the choice: see `hwsim.mapping.search`."""
