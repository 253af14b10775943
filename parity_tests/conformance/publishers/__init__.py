"""The publishers' own code, one script for each environment it needs, run as processes of their own.

    python SCRIPT.py MODEL WORK

WORK holds `cases.jsonl` and `vocab.txt`. The script builds the small model MODEL with seeded
weights, saves it under WORK/model as its publisher does, runs it on the cases in float32 and in
float64, and writes WORK/reference.safetensors (see reference.py). These scripts import nothing of
the project, so that they can share none of its mistakes.
"""
