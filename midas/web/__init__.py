"""The local page of `midas serve`; the only package that knows Flask."""
