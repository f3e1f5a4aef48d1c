"""The engine, compiled for the instruction set "base"."""

include "step.pxi"
include "program.pxi"
include "peak.pxi"
