"""Finished runs to tables, figures and pages. Never TensorFlow."""
