"""Where agents run: hosts and their seats, the worker that fills them, and the loops that keep promises over time."""
