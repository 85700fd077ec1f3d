"""Who may pass: gates and their secrets, policy, redaction, and our own doors."""
