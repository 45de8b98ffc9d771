"""Measured comparisons of denoisers."""
