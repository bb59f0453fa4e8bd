"""CT scans that never were: an anatomy bank's label maps with drawn contrast and scanner, to learn from."""
