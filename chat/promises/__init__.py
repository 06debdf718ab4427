"""What the core does not promise: one file for each promise."""
