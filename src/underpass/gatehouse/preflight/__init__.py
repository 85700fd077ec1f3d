"""The origin looked at as strangers would find it, before any stranger comes.

What to ask and what the answers mean is ``guard.preflight``'s to know. Here it is asked: over
connections made as visitors' are (``OriginDialler``: the same addresses, the same permission, the
same source), within a bound of time, of requests and of bytes.
"""
