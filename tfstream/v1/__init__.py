"""Generated from protos/tfstream/v1 by tools/generate_protos.sh; never edited by hand."""
