"""The words of goque as data: states, outcomes, options, policies. Not for: I/O of any kind."""
