"""Every family of benchmarks; a new one is a file with `NAMES` and `rows`, named here."""

from bench.conversion import wasm
from bench.native import speed as native
from bench.setting import Family
from bench.tokenizer import loading, scaling, speed

FAMILIES: tuple[Family, ...] = (speed, loading, scaling, wasm, native)
