"""Every family of benchmarks; a new one is a module with `NAMES` and `measure_rows`."""

from bench.conversion import wasm
from bench.encoding import features
from bench.encoding import speed as encoding
from bench.native import speed as native
from bench.serving import speed as serving
from bench.setting import Family
from bench.starting import cold, memory
from bench.tokenizer import loading, scaling, speed
from bench.training import speed as training

FAMILIES: tuple[Family, ...] = (
    speed,
    loading,
    scaling,
    wasm,
    native,
    encoding,
    features,
    training,
    cold,
    memory,
    serving,
)
