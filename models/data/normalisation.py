"""Normalisation: images for a published network have the mean and deviation that its weights were trained with."""

from dataclasses import replace

import torch

from ...spaces.architectures.architecture import Architecture
from ...spaces.networks.networks_space import published_network
from .dataset import ImageData


def normalised_for(data: ImageData, architecture: Architecture) -> ImageData:
    """Return ``data`` with the mean and deviation that are published for the network in ``architecture``.

    Grey images get the mean over the channels. Other architectures keep the statistics of the training images.
    """
    published = published_network(architecture)
    if published is None:
        return data
    channels, device = data.input_shape[0], data.mean.device
    mean, std = torch.tensor(published.mean), torch.tensor(published.std)
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    return replace(data, mean=mean.to(device), std=std.to(device))
