"""Data sets to networks, and networks to probabilities: the only package that imports TensorFlow."""
