"""The whole state of a curriculum: read at one moment, written to a file, restored, checked."""
