"""What travels: JSON shapes, stream frames, and the frames between node and host. Versioned; no behaviour."""
