"""Scripts that run the publishers' own code, as processes of their own in their environments.

    python -m parity_tests.conformance.publishers.SCRIPT MODEL WORK

WORK has `cases.jsonl` and `vocab.txt`. The script builds the small model MODEL with seeded
weights, saves it under WORK/model as its publisher does, runs it on the cases in float32 and in
float64, and writes WORK/reference.safetensors (see reference.py); of a fine-tuned classifier also
WORK/answers.json, and WORK/labels.txt where the model does not name its labels. These scripts
import nothing of the project but reference.py and each other, so that they share none of its
mistakes.
"""
