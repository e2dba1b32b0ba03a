"""Draws docs/dashboard.png: the chart's dashboard with data from a real run."""
