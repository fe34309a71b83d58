"""Shared by the Python suites. Needs only the standard library, except for `http2`."""
