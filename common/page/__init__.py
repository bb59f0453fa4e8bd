"""The page of one study, `result.html`: scan, mask and probabilities in one file that opens offline.

In: the scan, its mask, and as plain data what result.json and the mask's JSON hold; NiiVue (niivue/), which draws.
Out: an HTML file.
Start reading: page.py.
"""
