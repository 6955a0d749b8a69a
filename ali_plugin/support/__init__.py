"""What every room needs and what knows nothing of models: files, locks, JSON from elsewhere, devices, progress.

Imports ``errors`` only.
"""
