"""From nothing to the first answer: the time it takes, and the memory."""
