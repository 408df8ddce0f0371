"""What a server does is the same in every I/O style."""
