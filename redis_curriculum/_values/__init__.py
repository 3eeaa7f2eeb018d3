"""The rules that values must keep, and the models that hold them."""
