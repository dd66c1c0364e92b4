"""What the user sees, one panel a file. Panels read the state, listen to it, and ask the flows in jobs to work."""
