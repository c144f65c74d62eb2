"""What rules the engine from outside: spec and halts, the claim's Lease and state, the local latch, keys, and how its status leaves.

Adapters at the border of the sans-I/O core: each turns files or Kubernetes objects into events of `mm_runner.core.messages`.
"""
