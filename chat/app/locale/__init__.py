"""The catalogues of sentences, and the tool that keeps them fresh."""
