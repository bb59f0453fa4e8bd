"""Stage 2: which of the seven cervical vertebrae are fractured; it reads masks, whoever made them."""
