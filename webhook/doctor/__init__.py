"""What works in a cluster and what does not: reads the cluster, and changes nothing.

The modules that are named after what they check are pure; `examination` and `connection` do the I/O.
"""
