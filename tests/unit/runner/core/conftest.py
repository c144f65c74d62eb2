"""Makes the small fake venue importable: it drives the core without a socket, message by message, in whatever order a test wants."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
# A shared machine may stall any single example; what takes long is bounded by pytest's own timeout.
settings.register_profile("core", deadline=None)
settings.load_profile("core")
