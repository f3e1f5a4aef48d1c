"""The engine, compiled for the instruction set "avx512"."""

include "step.pxi"
include "program.pxi"
include "peak.pxi"
