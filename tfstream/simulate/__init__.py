"""What streams of a remote dataset will ask of the network and the cache: arithmetic alone."""
