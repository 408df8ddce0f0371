"""What the clients of the three I/O styles share: everything but the waiting."""
