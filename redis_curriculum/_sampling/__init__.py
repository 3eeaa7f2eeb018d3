"""The NumPy reference of a draw, which the scripts equal bit for bit."""
