"""What an encoder's training begins with.

In: weights that ship, of stage 1, or of ImageNet.
Out: an encoder's weights.
Start reading: encoder.py.
"""
