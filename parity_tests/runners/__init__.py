"""Runs both sides and reads their answers: Python as the model's users call it, and Node."""
