"""One way to open a CT study, whatever it lies in: `read_study` gives HU with an affine."""
