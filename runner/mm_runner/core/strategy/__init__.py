"""Strategies: from book, position and spec to wanted quotes. Pure functions, each checked against its closed form."""
