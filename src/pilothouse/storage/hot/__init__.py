"""Short-term state that may be lost: in the memory of a node, or on a server that speaks the Redis protocol."""
