"""An origin of the gatehouse's own, by which a tunnel's way is measured."""
