"""Local recalibration: how far a hospital's predictions are off there, and a map of them where enough is known.

In: predictions of local studies (result.json files, or a table that `predict` wrote) and their labels.
Out: a report with a picture, figures as JSON, and a local map (calibration/local_map.py) that `predict` takes.
Start reading: calibrate_locally.py, then fit.py and verdict.py.
"""
