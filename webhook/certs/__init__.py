"""Certificates: made, kept, rotated and served."""
