"""The images of a published network: resized and normalised as those that its weights were trained with."""

import json
from dataclasses import replace
from hashlib import sha256

import torch

from ...spaces.architectures.architecture import Architecture
from ...spaces.networks.networks_space import published_network
from ..image_files.decoding_rules import Decoding
from .dataset import ImageData
from .shapes import FILES_HASH


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


def decoding_for(data: ImageData, architecture: Architecture) -> Decoding | None:
    """Return how image files become the pixels that the network of ``architecture`` is trained on.

    With "auto" as ``data.interpolation`` or ``data.crop_pct`` these are published for the network. None for images
    that were no files.
    """
    published = published_network(architecture)
    if data.files is None or published is None:
        return data.decoding
    return data.files.decoding_for(interpolation=published.interpolation, crop_pct=published.crop_pct)


def decoded(data: ImageData, decoding: Decoding | None) -> ImageData:
    """Return ``data``, on the CPU, with the images of its files by ``decoding``; itself if they are that.

    The images keep their splits and order. They are decoded again, or read from a cache file. The hash is another one,
    so that features of them are other ones.
    """
    if data.files is None or decoding is None or decoding == data.decoding:
        return data
    images = data.files.decoded(decoding)
    splits = {part: replace(getattr(data, part), images=rows) for part, rows in images.items()}
    form = json.dumps(decoding.to_json(), sort_keys=True)
    digest = sha256(f"{data.content_hash}{form}".encode()).hexdigest()
    return replace(data, **splits, decoding=decoding, content_hash=FILES_HASH + digest)


def prepared_for(data: ImageData, architecture: Architecture) -> ImageData:
    """Return ``data``, on the CPU, with the decoding and the normalisation of the network in ``architecture``."""
    return normalised_for(decoded(data, decoding_for(data, architecture)), architecture)
