"""Tests of the Helm chart: rendering, documentation, dashboard and alerts."""
