"""Networks of look-up tables: the type, its file, evaluation, simplification, mapping to 6-input tables."""
