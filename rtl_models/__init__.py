"""Circuits that hold models: hardware descriptions, cases and golden tables, a folder each."""
