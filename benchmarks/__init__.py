"""Benchmarks: the cost of an admission, as ratios to a bare ASGI app in the same run (`make bench`)."""
