"""Networks of timm and torchvision: a table of their facts and costs, patterns of names, and spaces of networks."""
