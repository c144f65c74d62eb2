"""`kubectl mm`: what a person types at night. Every change is made on a MarketMaker or a TradingHalt; nothing here talks to an engine."""
