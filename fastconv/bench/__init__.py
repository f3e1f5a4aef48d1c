"""The benchmark suite: what the tasks are, and the rooms that time them."""

TASKS = {
    "updates": "100 updates of batch 100, 30/30 filters of width 5/5",
    "small": "20,000 updates of batch 19, 20/20 filters of width 5/3",
    "batch521": "100 updates of batch 521, 30/30 filters of width 5/5",
    "large": "20 updates of batch 521, 128/128 filters of width 5/5",
    "prediction": "names a second, one name at a time, from strings, and millions of names",
    "roofline": "the rate of each kernel at each instruction set, beside the machine's peaks",
}
"""What each task of ``fastconv bench`` times, by name."""
