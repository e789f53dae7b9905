"""Arrays to numbers: scores, complementary labels, label noise, significance. Never TensorFlow."""
