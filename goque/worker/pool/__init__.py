"""The main process's side of the children: starting, feeding, watching and burying them. Not for: the database."""
