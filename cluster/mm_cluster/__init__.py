"""Bring up a kind cluster, and what it needs, on a machine that may reach no image registry.

Standard library only: this runs before `.venv` exists. The executables beside this package
(`up`, `down`, `engine`, `tools`, `apiserver`) and `images/` are its only callers.
"""
