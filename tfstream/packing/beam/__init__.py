"""Packing on Apache Beam: the steps of a pack, done by the workers of one of its runners."""
