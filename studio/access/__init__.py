"""Who may do what: users and their passwords, sessions, API tokens, roles, and a log of what was done."""
