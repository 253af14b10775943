"""What float32 costs a model, and how far from it a runtime may be.

The exporter and the judge both stand on this room, and it stands on neither.
"""
