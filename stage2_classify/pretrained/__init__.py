"""What an encoder's training begins with.

In: the pretrained weights of the project, weights of stage 1, or of ImageNet.
Out: an encoder's weights.
Start reading: encoder.py.
"""
