"""What stands around the two programs: options, words, terminals."""
