"""The command `bert-bridge` for Python people: the packed npm package, and what starts it."""
