"""The worker: claiming tasks, running them in child processes, writing what came of them. Not for: SQL or schema."""
