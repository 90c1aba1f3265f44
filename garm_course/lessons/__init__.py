"""What one lesson owns, a folder each: its exercises, and the pictures that no other lesson shows."""
