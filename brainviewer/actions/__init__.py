"""Every command as a record: one menu a file, each a list of Actions. Adding a command is adding a line to a list."""
