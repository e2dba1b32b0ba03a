"""docs/dashboard.png: the chart's dashboard over real load, by the dashboard's own queries."""
