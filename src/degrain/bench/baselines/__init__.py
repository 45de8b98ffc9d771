"""Denoisers to compare with, one file each: source, equations, and whether σ is told."""
