"""The engine ssh: plain OpenSSH, run and watched by us."""
