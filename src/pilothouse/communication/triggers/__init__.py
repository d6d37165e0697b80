"""What comes in without a caller: the loop that takes messages, and one file for each kind of source.

A message is acknowledged only when what became of it is durable.
"""
