"""Annotation readers: a tree of images and annotations in, AnnotatedImage messages out."""

from __future__ import annotations

from tfstream.annotations.reader import AnnotationReader, Entry, Listing
from tfstream.annotations.registry import FORMATS, Source, locate, reader

__all__ = ["FORMATS", "AnnotationReader", "Entry", "Listing", "Source", "locate", "reader"]
