"""The ILSVRC DET tree (Kaggle's ImageNet object detection): Annotations/DET beside Data/DET."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tfstream.annotations import voc_xml
from tfstream.annotations.reader import AnnotationReader, Entry, Listing, require_image
from tfstream.annotations.tree import find_trees, walk_pairs
from tfstream.v1 import annotated_image_pb2

__all__ = ["IlsvrcDet"]

_ANNOTATIONS = os.path.join("Annotations", "DET")
_IMAGES = os.path.join("Data", "DET")


class IlsvrcDet(AnnotationReader):
    """Pairs `Annotations/DET/<split>/**.xml` with `Data/DET/<split>/**.JPEG`.

    The key is the path below Data/DET, so "train/n02084071/n02084071_42"; files that lie in no
    subset are of split "train".
    """

    name = "ilsvrc-det"
    layout = "Annotations/DET and Data/DET"
    plain_voc = True

    def find(self, source: str) -> list[str]:
        """The trees at or below a directory."""
        return find_trees(source, lambda path: os.path.isdir(os.path.join(path, _ANNOTATIONS)))

    def guarded(self, root: str) -> tuple[str, ...]:
        """The directories of annotations and of images."""
        return os.path.join(root, _ANNOTATIONS), os.path.join(root, _IMAGES)

    def entries(self, root: str, listing: Listing) -> Iterator[Entry]:
        """Lists the tree."""
        annotations, images = self.guarded(root)
        for pair in walk_pairs(annotations, images):
            if pair.annotation_path is None:
                listing.left_out["images without annotation"] += 1
                continue
            subset, slash, _ = pair.stem.partition("/")
            yield Entry(
                key=pair.stem,
                split=subset if slash else "train",
                annotation_path=pair.annotation_path,
                image_path=pair.image_path or os.path.join(images, pair.stem + ".JPEG"),
                image_found=pair.image_path is not None,
                sidecars=pair.sidecars,
            )

    def read(self, entry: Entry) -> annotated_image_pb2.AnnotatedImage:
        """Reads one annotation."""
        require_image(entry)
        return voc_xml.read(entry)
