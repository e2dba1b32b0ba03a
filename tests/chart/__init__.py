"""The Helm chart: what it renders, and that its documentation is true."""
