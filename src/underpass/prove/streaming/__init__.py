"""How a tunnel carries streams: measured through its public name, judged, certified, shown."""
