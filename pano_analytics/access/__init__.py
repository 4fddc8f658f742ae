"""Access control: users, sessions, passwords and certificates."""
