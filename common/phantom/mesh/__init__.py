"""Anatomy from surface meshes: read, posed, reshaped and voxelised into label maps of tissues."""
