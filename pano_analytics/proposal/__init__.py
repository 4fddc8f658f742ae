"""Propose a `pano.toml` from an upload tree, or from the settings of the original system."""

from pano_analytics.proposal.original import Original
from pano_analytics.proposal.original import read as read_original
from pano_analytics.proposal.text import propose, quoted
from pano_analytics.proposal.tree import SampledCamera, sample_cameras

__all__ = ["Original", "SampledCamera", "propose", "quoted", "read_original", "sample_cameras"]
