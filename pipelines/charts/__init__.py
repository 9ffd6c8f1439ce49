"""Statistical process control of one characteristic at a time: numbers in, numbers out; no lake, no files."""
