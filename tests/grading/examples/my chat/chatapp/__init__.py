"""The chat application."""
