"""The corpus: no text near to a dev text, whole words, pieces that end with sentences, masks."""

from dataclasses import replace

import numpy as np
import pytest

from export.demo import DemoSizes
from pretrain import corpus, sources
from pretrain.batches import BatchStream, batch_ends
from pretrain.masking import Masking
from pretrain.near_duplicates import without_near_duplicates
from pretrain.segmentation import words_of_tokens
from tests.python.pretrain_toy import FIRST, LAST, RECIPE, toy_corpus

DEV = [
    "酒店的房间很干净，服务员的态度也很好，下次还会来。",
    "电池只能用一个小时，键盘也很难用",
    "不错",
]
UNK = "[UNK]"
pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(DEV[0], id="equal"),
        pytest.param(DEV[0].replace("，", ", ").replace("。", "!!!"), id="other punctuation"),
        pytest.param(DEV[0].replace("态度", "素质"), id="two characters changed"),
        pytest.param(DEV[0][:20], id="its beginning"),
        pytest.param(f"我上个月出差的时候住在这里。{DEV[0]}早餐一般。", id="within a longer text"),
        pytest.param("不 错！", id="shorter than a run"),
        pytest.param("电池只能用１个小时，键盘也很难用".replace("１", "一"), id="full width"),
    ],
)
def test_planted_near_duplicates_are_removed(planted: str):
    others = [
        "房间很小，不推荐。",
        "这本书的内容很充实",
        "电池可以用一整天",
        "不错的选择，性价比很高",
    ]
    assert without_near_duplicates([*others[:2], planted, *others[2:]], DEV) == others


def test_no_review_of_the_dev_split_is_a_source():
    sizes = DemoSizes(train=500, dev=300, seed=3)
    dev = sources.dev_texts(sizes)
    reviews, news = (source.read(sizes) for source in sources.SOURCES)
    assert len(dev) == 300
    assert not set(dev) & set(reviews)
    # 17,363 distinct reviews with one label, counted apart from this code.
    assert len(reviews) == 17_363 - 300
    assert news[0] == "迈向充满希望的新世纪——一九九八年新年讲话（附图片１张）"
    assert not [text for text in news if "/" in text and "/n" in text]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([*"房间很干净"], ["房间", "很", "干净"]),
        (["用", "wi", "##fi", "上", "网"], ["用", "wifi", "上网"]),
        (["iphone", "5", "##s", "好"], ["iphone", "5s", "好"]),
        (["3", "##d", "电", "影"], ["3d", "电影"]),
        (["很", UNK, UNK, "好"], ["很", "□", "□", "好"]),
        (["mp3", "播", "放"], ["mp3", "播放"]),
        ([], []),
    ],
)
def test_words_are_those_of_the_tokens(tokens: list[str], words: list[str]):
    found = words_of_tokens(tokens, UNK)
    assert found.texts == words
    spelled = ["" for _ in words]
    for token, word in zip(tokens, found.of_token, strict=True):
        spelled[word] += "□" if token == UNK else token.removeprefix("##")
    assert spelled == words


def test_pieces_end_with_sentences_or_words():
    text = "房间好。早餐也很好！"
    words = [0, 0, 1, 2, 3, 3, 4, 5, 6, 7]
    assert corpus.cut_at_sentences(text, words, 10) == [(0, 10)]
    assert corpus.cut_at_sentences(text, words, 8) == [(0, 4), (4, 10)]
    assert corpus.cut_at_sentences("房间早餐", [0, 0, 1, 1], 3) == [(0, 2), (2, 4)]
    assert corpus.cut_at_sentences("房间早餐", [0, 0, 0, 0], 3) == [(0, 3), (3, 4)]


@pytest.fixture(scope="module")
def masking() -> Masking:
    return Masking(mask=4, unknown=1, first=5, size=1005, share=0.15, run_lengths=(0.6, 0.3, 0.1))


def test_masks_cover_the_share_of_tokens_and_whole_words(masking: Masking):
    random = np.random.default_rng(1)
    chosen = total = 0
    for _ in range(400):
        sizes = random.integers(1, 4, random.integers(10, 60))
        words = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
        ids = random.integers(5, 1005, len(words)).astype(np.int32)
        found = masking.choose(ids, words, random)
        hit, sizes_hit = np.unique(words[found], return_counts=True)
        assert (sizes_hit == sizes[hit]).all()
        assert len(found) <= len(ids) * 0.15 + 1
        chosen, total = chosen + len(found), total + len(ids)
    # Words of several tokens leave a part of a token of the budget in some texts.
    assert 0.14 < chosen / total < 0.151


def test_chosen_words_stand_in_runs(masking: Masking):
    words = np.arange(4000, dtype=np.int32)
    ids = np.full(4000, 7, np.int32)

    def neighbours(found: np.ndarray) -> float:
        return float((np.diff(found) == 1).mean())

    single = replace(masking, run_lengths=(1.0,))
    alone = neighbours(single.choose(ids, words, np.random.default_rng(2)))
    runs = neighbours(masking.choose(ids, words, np.random.default_rng(2)))
    # By chance a chosen word's neighbour is chosen in 15 % of cases; runs have 1.5 words each.
    assert alone == pytest.approx(0.15, abs=0.04)
    assert runs == pytest.approx(1 - (1 - 0.15) / 1.5, abs=0.06)


def test_unknown_tokens_are_not_to_be_found(masking: Masking):
    ids = np.array([7, 1, 7, 7, 1, 7, 7, 7], np.int32)
    words = np.array([0, 0, 1, 2, 3, 4, 5, 6], np.int32)
    all_of_them = replace(masking, share=1.0)
    assert all_of_them.choose(ids, words, np.random.default_rng(3)).tolist() == [2, 3, 5, 6, 7]


def test_what_the_encoder_sees_is_80_10_10(masking: Masking):
    ids = np.full(100_000, 7, np.int32)
    seen = masking.replace(ids, np.random.default_rng(4))
    assert (seen == masking.mask).mean() == pytest.approx(0.8, abs=0.005)
    assert (seen == 7).mean() == pytest.approx(0.1 + 0.1 / 1000, abs=0.005)
    others = seen[(seen != masking.mask) & (seen != 7)]
    assert others.min() >= masking.first and others.max() < masking.size


def test_a_batch_holds_its_texts_and_targets():
    toy = toy_corpus()
    stream = BatchStream(toy, RECIPE)
    rows = [toy.ids[a:b].tolist() for a, b in zip(toy.splits, toy.splits[1:], strict=False)]
    seen = []
    for step in range(stream.steps_per_epoch):
        batch = stream.batch(step)
        assert batch.ids.size <= RECIPE.batch_positions
        restored = batch.ids.copy()
        restored.flat[batch.positions] = batch.targets
        for number, (ids, mask) in enumerate(zip(restored, batch.mask, strict=True)):
            cls, *text, sep = ids[mask == 1].tolist()
            assert (cls, sep) == (2, 3)
            assert not ids[mask == 0].any()
            seen.append(text)
            words = batch.bag[batch.bag[:, 0] == number, 1].tolist()
            assert words == sorted({i - FIRST for i in text[::2]})
            weights = batch.bag_weights[batch.bag[:, 0] == number]
            assert weights.sum() == pytest.approx(1.0)
        assert ((batch.targets >= FIRST) & (batch.targets < LAST)).all()
    assert sorted(seen) == sorted(rows)


def test_a_batch_depends_on_its_step_alone():
    toy = toy_corpus()
    forwards, anew = BatchStream(toy, RECIPE), BatchStream(toy, RECIPE)
    batches = [forwards.batch(step) for step in range(30)]
    for step in (29, 3, 17):
        for one, other in zip(batches[step].tensors(), anew.batch(step).tensors(), strict=True):
            assert one.tobytes() == other.tobytes()
    epoch = forwards.steps_per_epoch
    assert batches[0].ids.tobytes() != forwards.batch(epoch).ids.tobytes()


def test_batches_are_limited_in_positions():
    lengths = np.array([3, 3, 5, 8, 8, 30])
    ends = batch_ends(lengths, 20)
    assert ends == [3, 5, 6]
