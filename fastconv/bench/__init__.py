"""The benchmark suite: what the tasks are, and the rooms that time them."""

TASKS = {
    "updates": "100 updates of batch 100, 30/30 filters of width 5/5",
    "small": "20,000 updates of batch 19, 20/20 filters of width 5/3",
    "batch521": "100 updates of batch 521, 30/30 filters of width 5/5",
    "large": "20 updates of batch 521, 128/128 filters of width 5/5",
    "prediction": "names a second, one name at a time, from strings, and millions of names",
    "netg": "10 updates of batch 128 of net G (3x3 convolutions 3-32-64-128 over 32x32 images)",
    "netg32": "40 updates of batch 32 of net G",
    "netr": "5 updates of batch 128 of net R (5x5 convolutions 3-32-64-64 over 32x32 images)",
    "images": "images a second through nets G and R, and the memory of a training step",
    "convolutions": "the rate of each convolution of nets G and R, beside the machine's peaks",
    "roofline": "the rate of each kernel at each instruction set, beside the machine's peaks",
}
"""What each task of ``fastconv bench`` times, by name."""
