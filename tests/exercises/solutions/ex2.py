"""What came is a stream: both parts at once."""

ANSWER = "привет"
