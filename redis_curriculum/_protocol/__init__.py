"""What is spoken with the server: keys, scripts, records, plans, repeatable requests."""
