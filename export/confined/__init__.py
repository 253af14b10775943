"""The process that loads a stranger's model: what it may reach, and what it does."""
