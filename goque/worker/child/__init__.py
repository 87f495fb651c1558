"""What runs in a child, or in the nursery that forks children. Not for: keys, addresses or the database."""
