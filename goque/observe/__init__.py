"""What is told about a running queue: findings, metrics, traces, log records. Not for: the state of single tasks
(``history``), nor for anything that work depends on.
"""
