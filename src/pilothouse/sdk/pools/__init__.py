"""Where steps run that are too heavy for a host: warm processes of this machine, or a Ray cluster.

`pool` has what both share, `local` and `ray` are the two kinds, `work` is what happens in a process of either.
"""
