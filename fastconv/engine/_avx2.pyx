"""The engine, compiled for the instruction set "avx2"."""

include "step.pxi"
include "program.pxi"
include "peak.pxi"
