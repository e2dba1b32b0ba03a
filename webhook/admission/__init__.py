"""AdmissionReview in, outcome out: pods, Deployments, settings, and observe mode.

Pure: no I/O, no clock, no HTTP. Callers look up facts and pass them in.
"""
