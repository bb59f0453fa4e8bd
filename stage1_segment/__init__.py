"""Stage 1: finds C1..C7 in a CT of the neck and outlines them."""
