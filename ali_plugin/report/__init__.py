"""A run as one HTML file: what was trained, its curves and pictures, its figures. It opens without a network.

``run`` reads a run's folder, ``curves`` draws its figures, ``stills`` fits pictures into the file, and ``page`` puts
them into the template beside it. Whatever stands in a run's folder is text from elsewhere: it is escaped and bounded.
"""
