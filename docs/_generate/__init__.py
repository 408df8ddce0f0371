"""Generators of the documentation: what can be read off the source is not typed by hand."""
