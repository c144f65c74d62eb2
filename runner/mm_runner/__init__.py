"""The engine of one symbol: a sans-I/O core (`core`), the venue (`venue`), Kubernetes and files (`control`), telemetry, and the command line."""
