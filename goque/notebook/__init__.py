"""What a notebook or a terminal shows of running work. Not for: the work, or asking for it (``app``)."""
