"""From crops to networks: the encoder alone, then whole studies, then out-of-fold predictions.

In: crops and labels by fold.
Out: weights per fold, out_of_fold.csv.
Start reading: train.py.
"""
