"""What an operator does: look over curricula, clean up, back up, audit a server, write ACLs."""
