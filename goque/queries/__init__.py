"""All SQL of goque, as functions that return statements. Not for: running them (``postgres``)."""
