"""What an admission costs, as ratios to a bare ASGI app in the same run: `make bench`."""
