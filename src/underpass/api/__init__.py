"""The door by which other processes of the owner see and steer what this process keeps open."""
