"""A small circuit with a model of it, for the tests of the harness: it sums words, group by group."""
