"""The PoET-BiN circuit: see README.md."""
