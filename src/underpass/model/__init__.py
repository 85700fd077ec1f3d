"""What we talk about: specs, verdicts, states, events, errors. Pure; imports nothing of ours."""
