"""Wake-ups and live events between those who write and those who watch. A bus may lose anything; records do not."""
