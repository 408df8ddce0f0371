"""What the servers of the three I/O styles share: listening, who a peer is, and the verbs of the host."""
