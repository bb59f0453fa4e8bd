"""Damaged studies thrown at the reader: it must answer each with a volume or with a typed error, and nothing else."""
