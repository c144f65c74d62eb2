"""The operator: reconciles MarketMaker resources into runner pods and shows what the engines say in the resources' status.

kopf feeds it (`handlers`), pure functions think (`planner`, `render`, `project`), and one worker per resource acts (`controller`).
"""

from mm_contract import __version__

__all__ = ["__version__"]
