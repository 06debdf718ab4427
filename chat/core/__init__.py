"""The chat that a student reads: server and client, on the standard library alone."""
