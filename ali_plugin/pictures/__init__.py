"""Pictures as files: where one is decoded, and where a grid is drawn.

Lives here: ``decode`` (any common file as an array), ``grid`` (PNG files of many pictures, or of points).
Imports ``support`` and ``errors``; knows nothing of models or datasets.
"""
