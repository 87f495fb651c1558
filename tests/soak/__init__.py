"""Long runs under faults, by ``make soak``; short forms of them are among the scenarios. Not for: ``make test``."""
