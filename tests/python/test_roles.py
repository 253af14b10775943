"""The roles of outputs by their names: the most certain name, the right rank, the user's option."""

import pytest

from export.source.roles import output_roles
from export.source.signature_choice import TensorInfo
from support.errors import UserError

pytestmark = pytest.mark.quick

WHOLE, POOLED = [None, None, 4], [None, 4]


def roles(**shapes: list[int | None]) -> dict[str, str]:
    outputs = [TensorInfo(name, "float32", shape) for name, shape in shapes.items()]
    return output_roles(outputs, {}, "m")


@pytest.mark.parametrize(
    "names", [("sequence_output", "last_hidden_state"), ("last_hidden_state", "sequence_output")]
)
def test_of_several_names_the_most_certain_gets_the_role(names: tuple[str, str]) -> None:
    assert roles(**dict.fromkeys(names, WHOLE)) == {
        "sequence_output": "sequence_output",
        "last_hidden_state": "last_hidden_state",
    }
    assert roles(last_hidden_state=WHOLE) == {"last_hidden_state": "sequence_output"}


def test_a_name_with_another_rank_has_no_role() -> None:
    assert roles(encoder_outputs=POOLED, pooler_output=POOLED) == {
        "encoder_outputs": "encoder_outputs",
        "pooler_output": "pooled_output",
    }


def test_an_option_has_priority_over_names() -> None:
    outputs = [TensorInfo(name, "float32", WHOLE) for name in ("last_hidden_state", "x")]
    found = output_roles(outputs, {"sequence_output": "x"}, "m")
    assert found == {"last_hidden_state": "last_hidden_state", "x": "sequence_output"}
    with pytest.raises(UserError, match="expected float32 of rank 2"):
        output_roles(outputs, {"pooled_output": "x"}, "m")
