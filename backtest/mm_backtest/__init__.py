"""The live engine's core and the exchange's core on one virtual clock. Empty so far: the room for it, with its place in the import layers."""
