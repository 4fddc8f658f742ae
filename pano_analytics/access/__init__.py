"""Who may look: users, sessions, passwords and certificates."""
