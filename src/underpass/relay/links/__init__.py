"""Lanes and links in the flesh: the asyncio shells that both ends of the relay share.

``link.py`` is one transport connection, ``runner.py`` a lane with its present link, ``owner.py``
the interface of whoever owns a stream, ``websocket.py`` a WebSocket that looks like a transport.
"""
