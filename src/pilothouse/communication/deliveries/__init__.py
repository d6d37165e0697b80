"""What goes out: the sender that claims deliveries, and one file for each kind of receiver.

Records first, then the wire: whatever is sent here is a row already, and stays one until its receiver has taken it.
"""
