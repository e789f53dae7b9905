"""Bytes to labeled glyphs: sources, decoding, preprocessing, augmentation, data sets."""
