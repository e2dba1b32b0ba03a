"""Serving certificates: issue, store, rotate and load.

Independent of admission. Private keys stay in this package and in the TLS context.
"""
