"""The one training loop: Lightning Fabric, EMA, checkpoints that resume.

In: a `Task` (data, network, loss) and its settings.
Out: weights.safetensors, and a log.
Start reading: task.py.
"""
