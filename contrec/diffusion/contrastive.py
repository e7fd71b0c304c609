"""Contrastive denoising: what is generated should denoise the target better than an average of items not taken."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from contrec.checks import one_of

FORMS = ("per_target", "per_batch")


def contrastive_loss(positive: Tensor, negative: Tensor, form: str = "per_target") -> Tensor:
    r"""-log sigmoid(m- - m+), m the squared error of a denoised vector (Eqs. 11-13, DeftRec; BPR over errors).

    Eq. (12) has one term for each negative item; Eq. (13) denoises their mean once instead, q- = mean_j q_j.

    Args:
        positive: prediction minus what it should be at the noised target, shape (B, d).
        negative: the same at the noised mean of negatives, same step and noise, shape (B, d).
        form: "per_target": m is the mean over dimensions for each row (the paper's squared norm divided by d, so the
            loss does not depend on d), and the loss is a mean over rows. "per_batch": m is the mean over rows and
            dimensions, as in DeftRec's released code; near zero that is log 2 - (m- - m+) / 2.

    Returns:
        Scalar, greater than 0; log 2 where both are denoised equally well.
    """
    one_of("form", form, FORMS)
    if positive.shape != negative.shape:
        raise ValueError(
            f"positive and negative must have one shape, got {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    better, worse = positive.square().mean(1), negative.square().mean(1)
    if form == "per_batch":
        better, worse = better.mean(), worse.mean()
    return softplus(better - worse).mean()
