"""What both stages share; it knows neither of them."""

__version__ = "0.1.0"
