"""The control plane: the other end of the wire. The daemon never imports this package."""
