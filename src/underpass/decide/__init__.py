"""Which engine fits a need, and why: facts, rules, commands and boundaries. Pure."""
