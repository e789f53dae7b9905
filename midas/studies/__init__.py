"""Many trainings: the study of the three parts, cross-validation, transfer, out-of-fold predictions."""
