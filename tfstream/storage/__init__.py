"""Bytes by URI: reading and writing files, wherever they are."""
