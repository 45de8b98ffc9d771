"""Training: data, noise, the loop, recipes and export."""
