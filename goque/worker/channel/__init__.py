"""What the main process and its children both know: messages, records, logs, measures. Not for: either side's work."""
