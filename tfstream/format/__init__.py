"""What is on disk: the record codec, the index, the manifest, the label map."""
