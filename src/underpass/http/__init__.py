"""HTTP messages, and their strict reading and writing. Pure: bytes in, events and bytes out."""
