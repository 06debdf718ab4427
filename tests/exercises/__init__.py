"""The exercises: what is wrong with an answer, said as a hint."""
