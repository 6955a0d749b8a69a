"""A detector of anomalies for PyOD, by a model that is trained on ordinary samples (extra ``pyod``)."""

from ali_plugin.pyod.detector import ALIDetector
from ali_plugin.pyod.samples import InvalidInput, InvalidParameter

__all__ = ["ALIDetector", "InvalidInput", "InvalidParameter"]
