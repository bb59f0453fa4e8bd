"""Synthetic CT studies of the neck in the competition's layout, with the truth known."""
