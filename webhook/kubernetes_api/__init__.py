"""A thin client of the Kubernetes API.

Returns API objects or JSON, without interpreting them.
"""
