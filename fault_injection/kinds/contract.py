"""Wrong claims of the contract about the model and its tokenizer."""

from random import Random
from typing import Any

from fault_injection.registry import kind
from fault_injection.target import Target
from support.contracts import TABLES_FILE


@kind("bundle", stages="contract")
def output_names_swapped(target: Target, choose: Random) -> str:
    """The contract swaps the names of the outputs."""
    first, second = target.bundle.about["outputs"][-2:]
    first["name"], second["name"] = second["name"], first["name"]
    return f"outputs {first['name']} and {second['name']} swapped in the contract"


@kind("bundle", stages="contract")
def input_roles_swapped(target: Target, choose: Random) -> str:
    """The contract swaps the roles of mask and types."""
    specs = {spec["role"]: spec for spec in target.bundle.about["inputs"]}
    mask, types = specs["attention_mask"], specs["token_type_ids"]
    mask["role"], types["role"] = types["role"], mask["role"]
    return "roles of attention_mask and token_type_ids swapped in the contract"


@kind("tokenizer", stages="contract", times=6)
def special_id_wrong(target: Target, choose: Random) -> str:
    """The contract has a wrong id for a special token."""
    tokens = target.bundle.about["tokenizer"]["special_tokens"]
    role = choose.choice(("cls", "sep", "pad", "unk", "mask"))
    before = tokens[role]["id"]
    tokens[role]["id"] = choose.choice([i for i in range(8) if i != before])
    return f"id of {tokens[role]['token']}: {before} became {tokens[role]['id']}"


@kind("bundle", stages="contract")
def max_length_off_by_one(target: Target, choose: Random) -> str:
    """The contract has a position too few, or too many."""
    about = target.bundle.about
    before = about["max_length"]
    about["max_length"] += choose.choice((-1, 1))
    return f"max_length: {before} became {about['max_length']}"


@kind("bundle", stages="contract")
def padding_flipped(target: Target, choose: Random) -> str:
    """The contract says that padding is attended to."""
    target.bundle.about["padding"] = "attended"
    return "padding: masked became attended"


@kind("bundle", stages="contract")
def output_width_wrong(target: Target, choose: Random) -> str:
    """The contract has another width for an output."""
    about = target.bundle.about
    # A contract with more scores than labels contradicts itself: nobody reads it.
    scores = (about["classifier"] or {}).get("output")
    spec: dict[str, Any] = choose.choice([s for s in about["outputs"] if s["name"] != scores])
    before = spec["shape"][-1]
    spec["shape"][-1] = before * 2
    return f"width of {spec['name']}: {before} became {before * 2}"


@kind("bundle", stages="contract")
def output_dtype_wrong(target: Target, choose: Random) -> str:
    """The contract says that an output has integers."""
    spec: dict[str, Any] = choose.choice(target.bundle.about["outputs"])
    spec["dtype"] = "int32"
    return f"dtype of {spec['name']}: float32 became int32"


@kind("bundle", stages="contract", fits=lambda clean: clean.dtype == "float32")
def weight_dtype_wrong(target: Target, choose: Random) -> str:
    """The contract says that weights are uint8, whose budget is wide, and they are float32."""
    about = target.bundle.about
    about["weight_dtype"] = choose.choice(("uint8", "float16", "uint16"))
    return f"weight_dtype: float32 became {about['weight_dtype']}"


@kind("tokenizer", stages="contract")
def algorithm_wrong(target: Target, choose: Random) -> str:
    """The contract names another tokenizer."""
    tokenizer = target.bundle.about["tokenizer"]
    before = tokenizer["algorithm"]
    tokenizer["algorithm"] = choose.choice(("bert", "tf-text-fast", "chars"))
    return f"algorithm: {before} became {tokenizer['algorithm']}"


@kind("tokenizer", stages="contract", times=4)
def wrong_tokenizer_option(target: Target, choose: Random) -> str:
    """Contract and tables agree on another tokenizer than the source's: the other case, or `bert`.

    An export with the wrong option gives this: nothing in the bundle contradicts itself.
    """
    tokenizer = target.bundle.about["tokenizer"]
    lower = tokenizer["options"]["lower_case"]
    name = choose.choice(("cased", "bert")) if lower else "lower"
    if name == "bert":
        tokenizer["algorithm"] = "bert"
    else:
        tokenizer["options"]["lower_case"] = not lower
    tables = target.clean.material.tables(name).read_bytes()
    target.bundle.write(TABLES_FILE, tables)
    return f"contract and tables of {name} instead of {'lower' if lower else 'cased'}"


@kind("bundle", stages="contract", times=4)
def budget_widened(target: Target, choose: Random) -> str:
    """The contract's budget of an output or tap is ten to a thousand times too wide."""
    budgets = target.bundle.about["accuracy"]["budgets"]
    name = choose.choice(sorted(budgets))
    factor = choose.choice((10, 100, 1000))
    before = budgets[name]["atol"]
    budgets[name]["atol"] = before * factor
    return f"atol of {name}: {before:g} became {before * factor:g}"


@kind("tokenizer", stages="contract")
def lower_case_claim_wrong(target: Target, choose: Random) -> str:
    """The contract is wrong about whether the tokenizer lower-cases."""
    options = target.bundle.about["tokenizer"]["options"]
    options["lower_case"] = not options["lower_case"]
    return f"options.lower_case became {options['lower_case']}"
