"""What each command does: a file per command, imported when it is chosen."""
