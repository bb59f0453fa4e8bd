"""How certain the level count is: which numberings of the vertebrae a scan allows, and how likely each is.

In: the network's probabilities on its fine grid, the finished mask, the scan.
Out: the study's certainty, each level's, and what else it could be.
Start reading: certainty.py (docs/levels.md says why).
"""
