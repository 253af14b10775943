"""The picked texts, and the case files that both runners read."""

import json
from pathlib import Path

import pytest

from parity_tests import cases
from parity_tests.cases import BATCH, PAIR_LENGTH, Text, TextCase
from parity_tests.reports import repro
from support.errors import UserError

pytestmark = pytest.mark.quick

TEXTS = [Text(f"第{i}条" + "好" * (i * 7 % 251)) for i in range(500)]


def test_the_same_texts_in_any_order_give_the_same_cases() -> None:
    assert cases.pick_cases(TEXTS, 64) == cases.pick_cases(TEXTS[::-1] + TEXTS[:9], 64)


def test_shortest_longest_and_blank_texts_are_always_picked() -> None:
    by_length = sorted((text.text for text in TEXTS), key=lambda text: (len(text), text))
    for count in (4, 8, 64, 499):
        picked = [case.text for case in cases.pick_cases(TEXTS, count)]
        assert picked[0].strip() == ""
        assert len(picked) == len(set(picked)) == count + 1
        assert set(by_length[:3]) < set(picked)
        assert max(map(len, by_length)) == max(map(len, picked))


def test_fewer_texts_than_requested_are_all_picked() -> None:
    assert {case.text for case in cases.pick_cases([Text("好"), Text("坏"), Text("好")], 64)} == {
        " ",
        "好",
        "坏",
    }
    assert len(cases.pick_cases(TEXTS, 1)) == 2


def test_batches_mix_lengths_and_the_first_is_cheap() -> None:
    picked = cases.pick_cases(TEXTS, 64)
    assert [case.case for case in picked] == list(range(65))
    assert {case.batch for case in picked} == set(range(8))
    assert cases.count_batches(64) == 8
    first = [case for case in picked if case.batch == 0]
    assert len(first) == BATCH + 1
    assert max(len(case.text) for case in first) < sorted(len(text.text) for text in TEXTS)[-100]
    for batch in range(8):
        assert len({len(case.text) for case in picked if case.batch == batch}) > 2


def test_the_second_batch_has_made_pairs_that_are_cut() -> None:
    plain, picked = cases.pick_cases(TEXTS, 16), cases.pick_cases(TEXTS, 16, pairs=True)
    made = [case for case in picked if case.batch == 1]
    assert [case.case for case in picked] == list(range(len(picked)))
    assert {case.max_length for case in made} == {PAIR_LENGTH}
    sizes = [(len(case.text), len(case.pair or "")) for case in made]
    assert any(a < PAIR_LENGTH < b for a, b in sizes) and any(b < PAIR_LENGTH < a for a, b in sizes)
    assert any(a > PAIR_LENGTH and b > PAIR_LENGTH for a, b in sizes), (
        "both long: one text gets the odd place"
    )
    singles = [case for case in picked if case.batch != 1]
    assert [case.text for case in singles] == [case.text for case in plain]
    assert {(case.pair, case.max_length) for case in singles} == {(None, None)}
    assert (
        cases.count_batches_with_pairs(plain, 8),
        cases.count_batches_with_pairs(picked, 8),
    ) == (1, 2)


def test_pairs_of_a_data_file_remain_pairs_and_are_also_cut() -> None:
    texts = [Text(f"第{i}条" * (i + 1), f"{i}号" * (60 - i)) for i in range(60)]
    picked = cases.pick_cases(texts, 16, pairs=True)
    assert picked[0].pair is None, "the blank one"
    whole = {Text(case.text, case.pair) for case in picked if case.max_length is None}
    assert len(whole - {Text(" ")}) == 16 and whole - {Text(" ")} <= set(texts)
    cut = [case for case in picked if case.max_length == PAIR_LENGTH]
    assert cut and all(case.pair for case in cut)
    # The two shortest texts, of which one is the second of its pair.
    assert (cut[0].text, cut[0].pair) == ("59号", "第0条")


def test_a_single_text_makes_a_pair() -> None:
    picked = cases.pick_cases([Text("好")], 8, pairs=True)
    assert [(c.text, c.pair) for c in picked] == [(" ", None), ("好", None), ("好", "好")]


def test_no_texts_are_refused() -> None:
    for texts in ([], [Text(" "), Text("", " ")]):
        with pytest.raises(UserError, match="no text"):
            cases.pick_cases(texts, 64)
    with pytest.raises(UserError, match="at least 1"):
        cases.pick_cases(TEXTS, 0)


def test_a_case_file_is_read_as_written(tmp_path: Path) -> None:
    hard = [
        TextCase(0, 0, " "),
        TextCase(1, 0, "a\u2028b\u0085c\x1c\r\n𠀀"),
        TextCase(2, 1, "甲", "", 9),
    ]
    cases.write_cases(tmp_path / "cases.jsonl", hard)
    assert cases.read_cases(tmp_path / "cases.jsonl") == hard


def test_an_empty_case_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text("\n")
    with pytest.raises(UserError, match="no cases"):
        cases.read_cases(file)
    file.write_text('{"case": 1, "batch": 0, "text": "好"}\n')
    with pytest.raises(UserError, match=r"cases.jsonl:1 is not case 0"):
        cases.read_cases(file)


def test_texts_of_both_shapes_are_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.json"
    rows = [{"sentence1": "甲\u2028", "sentence2": "乙", "label": "1"}, {"text": "丙", "label": 0}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n\n".join(lines), encoding="utf-8-sig")
    assert cases.read_texts(file) == [Text("甲\u2028", "乙"), Text("丙")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\n{"text": ', r"data.jsonl:2 is not JSON"),
        (b'{"label": 1}\n', r"data.jsonl:1 has no `text`"),
        (b'{"text": 5}\n', r"data.jsonl:1 has no `text`"),
        (b'{"sentence1": "a"}\n', r"data.jsonl:1 has no `text`, or `sentence1` and"),
        (b'{"sentence1": "a", "sentence2": 2}\n', r"data.jsonl:1 has no `text`"),
        (b"[1]\n", r"data.jsonl:1 has no `text`"),
        (b"\xff\xfe\n", "UTF-8"),
    ],
)
def test_a_broken_data_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "data.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        cases.read_texts(tmp_path / "data.jsonl")
    with pytest.raises(UserError, match="No such file"):
        cases.read_texts(tmp_path / "none.jsonl")


def test_a_repro_tries_texts_for_at_most_a_minute() -> None:
    """A text of 8 characters that took 10 s: six times as many characters fit into a minute."""
    tried = [
        TextCase(0, 0, "abcd"),
        TextCase(0, 0, "efgh"),
        *(TextCase(0, 0, "ab") for _ in range(40)),
    ]
    affordable = repro.affordable_cases(tried, 8, 10.0)
    assert [repro.case_size(case) for case in affordable] == [4, 4, *[2] * 20]
    assert repro.affordable_cases(tried, 8, 1000.0) == []
    assert repro.affordable_cases(tried, 8, 0.0) == tried
