"""What may watch a run: the base class, and the callbacks that every run has.

They use a run through ``Run`` and know nothing of the trainer that calls them.
"""

from __future__ import annotations

from ali_plugin.training.callbacks.callback import Callback, Run

__all__ = ["Callback", "Run"]
