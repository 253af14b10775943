"""The model card: what the weights were made of and how, and what they cannot do.

Everything in it comes from the training itself, so that it is true of the weights beside it.
"""

import hashlib
import platform
from importlib.metadata import version

from export.trained_weights import FILE
from pretrain.checkpoint import Progress
from pretrain.corpus import PACKAGES, Corpus
from pretrain.curve import CHART, Point
from pretrain.recipe import Recipe
from support.tables import format_markdown

CARD = "README.md"
SHOWN_POINTS = 12
"""Lines of the table of losses."""


def write_card(corpus: Corpus, recipe: Recipe, progress: Progress, points: list[Point]) -> str:
    """Returns the card as Markdown.

    Args:
        corpus: what it was trained on.
        recipe: the numbers.
        progress: how far it is.
        points: of the loss curve.
    """
    steps, hours = progress.steps, progress.seconds / 3600
    state = (
        "The training is finished."
        if steps >= recipe.steps
        else f"The training is **not finished**: {steps:,} of {recipe.steps:,} steps."
    )
    parts = [
        "# albert_tiny, trained on Chinese reviews and news",
        f"`{FILE}` has the weights of a small Chinese encoder (4 layers of 312, shared weights) as "
        f"float16, and `vocab.txt` its {len(corpus.vocab.tokens):,} tokens, with the tokenizer "
        f"`tf-text`, lower case. `nox -s export` makes the embedded default of them; "
        f"`nox -s pretrain` made them. {state}",
        "## Data",
        _describe_sources(corpus),
        f"Together {len(corpus.lengths):,} pieces of at most {recipe.max_positions} positions, "
        f"{len(corpus.ids):,} tokens. No label was used. Texts that nearly equal a text of the "
        "default's dev split were removed: those that share half of the runs of four characters "
        "that the shorter one has. The reviews of the train split are among the texts, and so are "
        "the reviews that are in neither split.",
        "## Training",
        "Three losses, added: masked tokens (whole words by `rjieba`, in runs of 1 to "
        f"{len(recipe.run_lengths)}, {recipe.mask_share:.0%} of the tokens); the text's words, of "
        f"{len(corpus.bag_words):,}, from the vector of [CLS] alone; and the same from "
        "`pooled_output`, for the pooler alone.",
        f"{steps:,} steps of at most {recipe.batch_positions:,} positions, {hours:.1f} hours; "
        f"AdamW, learning rate {recipe.learning_rate:g} after {recipe.warmup_steps:,} steps of "
        f"warm-up, then falling to 0 in a line, weight decay {recipe.weight_decay:g}, gradients "
        f"clipped to {recipe.clip_norm:g}, float32, no dropout, seed {recipe.seed}.",
        _loss_table(points),
        f"`{CHART}` shows all of it.",
        "## Made with",
        _describe_versions(hashlib.sha256(corpus.vocab.raw).hexdigest()),
        "## What it cannot do",
        "\n".join(LIMITS).format(positions=recipe.max_positions),
        "## Licence",
        "The weights have the licence of this repository, MIT. They were learned from the texts "
        "named above, which are not in them.",
    ]
    return "\n\n".join(parts) + "\n"


LIMITS = (
    "- It is small, and has read a thousandth of what published encoders have read. It knows "
    "reviews of hotels, books and goods, and the news of one month; on other kinds of text expect "
    "little more than from seeded weights.",
    "- It has seen no text longer than {positions} positions: vectors of later positions mean "
    "nothing.",
    "- It has seen no pairs of texts: the second token type is untrained.",
    "- The texts say what people wrote of 1998 and of some hotels and goods, with their views and "
    "prejudices. Use it for no decision about people.",
    "- It knows no traditional characters beyond the few in these texts, and no words that are "
    "newer than the texts.",
)


def _describe_sources(corpus: Corpus) -> str:
    """Returns a table of the sources, and what is known of their origin."""
    head = ("source", "package", "files", "licence", "texts", "characters", "removed")
    rows = [
        (
            source["name"],
            f"{source['package']} {source['version']}",
            ", ".join(f"`{file}`" for file in source["files"]),
            source["licence"],
            f"{source['texts']:,}",
            f"{source['characters']:,}",
            f"{source['near_duplicates']:,}",
        )
        for source in corpus.sources
    ]
    origins = [f"- {source['name']}: {source['origin']}." for source in corpus.sources]
    return "\n".join([format_markdown(head, rows, numeric=(4, 5, 6)), "", *origins])


def _loss_table(points: list[Point]) -> str:
    """Returns some points of the curve as a table, the last one among them."""
    stride = max(1, len(points) // SHOWN_POINTS)
    rows = [
        (
            f"{point.step:,}",
            f"{point.seconds / 60:.0f}",
            f"{point.masked:.2f}",
            f"{100 * point.found:.1f} %",
            f"{point.bag:.2f}",
            f"{point.pooled:.2f}",
        )
        for point in points[::-1][::stride][::-1]
    ]
    head = ("step", "minutes", "masked loss", "found", "bag loss, [CLS]", "bag loss, pooled")
    return format_markdown(head, rows, numeric=range(len(head)))


def _describe_versions(vocab_sha256: str) -> str:
    """Returns the versions that decide what comes out."""
    versions = [f"{name} {version(name)}" for name in (*PACKAGES, "tf-keras")]
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return f"{python}; {', '.join(versions)}. sha256 of `vocab.txt`: `{vocab_sha256}`."
