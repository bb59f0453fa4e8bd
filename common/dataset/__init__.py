"""The competition's folder: its tables and files, folds, checks, and the cache of preprocessed scans."""
