"""What a worker does on the server: one plan an operation, one script a change."""
