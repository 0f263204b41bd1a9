"""Tests that need a simulator. A package, for its modules have names of modules beside it."""
