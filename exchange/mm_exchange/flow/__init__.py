"""Where public markets come from: a recorded tape, or synthetic flow. Both yield `market.MarketEvent`s."""
