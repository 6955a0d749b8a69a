"""Samples in shards, which are read forwards: the second kind of split, for data beyond memory and disk."""
