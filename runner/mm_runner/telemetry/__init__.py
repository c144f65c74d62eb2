"""What the engine says of itself: log lines and metrics, both from the contract's registries and both off the hot path."""
