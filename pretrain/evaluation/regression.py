"""Logistic regression on character n-grams: what needs no encoder at all.

A program of its own, because scikit-learn is in another environment. Prints the accuracy on the dev
texts as JSON. The counts are weighted by TF-IDF; the regression has scikit-learn's own settings,
and nothing was chosen on the dev texts.
"""

import argparse
import json
import sys
from pathlib import Path


def main() -> int:
    """Fits on --train and prints the accuracy on --dev; exit code 0."""
    parser = argparse.ArgumentParser(prog="python regression.py", description=__doc__)
    for name in ("train", "dev"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="JSON lines")
    parser.add_argument("--longest", type=int, required=True, help="characters of an n-gram")
    options = parser.parse_args()

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = _read(options.train)
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, options.longest), sublinear_tf=True),
        LogisticRegression(max_iter=1000),
    )
    model.fit(texts, labels)
    accuracy = float(model.score(*_read(options.dev)))
    print(json.dumps({"accuracy": accuracy}))
    return 0


def _read(file: Path) -> tuple[list[str], list[str]]:
    r"""Reads texts and labels; only \n ends a line: a review may contain U+2028."""
    lines = file.read_text("utf-8").removesuffix("\n").split("\n")
    rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [str(row["label"]) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
