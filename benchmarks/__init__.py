"""Benchmarks: one file per question, both sides measured in one run. Not for: tests."""
