"""Tests of the report and of its builder."""
