"""Makes the small fake venue importable: it drives the core without a socket, message by message, in whatever order a test wants."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
