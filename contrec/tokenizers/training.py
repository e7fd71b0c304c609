"""Training of any tokenizer on a table of embeddings (phase 1 of Algorithm 1, ContRec)."""

from __future__ import annotations

import torch
from torch import Tensor

from contrec.checks import finite
from contrec.tokenizers.base import Tokenizer


def train_tokenizer(
    model: Tokenizer,
    x: Tensor,
    *,
    seed: int,
    progress: bool = False,
    label: str = "tokenizer",
    record_steps: bool = False,
) -> list[dict]:
    """Minimise the tokenizer's total loss over embeddings x (n, d): AdamW, a cosine learning rate, ``model.config``.

    Args:
        seed: of everything random in training; the initial weights are the caller's.
        record_steps: also keep the reconstruction loss of every step.

    Returns:
        One dict per epoch: "epoch" from 1, the mean of each loss, and with ``record_steps`` "steps", a list with the
        reconstruction loss of each step before its update. The model is left in evaluation mode on its device.

    Raises:
        ValueError: if a loss is NaN or infinite.
    """
    from tqdm.auto import trange

    config = model.config
    generator = torch.Generator(device=x.device).manual_seed(seed)
    model.train()
    model.start(x, generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    history = []
    for epoch in trange(config.epochs, desc=label, disable=not progress):
        sums: dict[str, float] = {}
        steps: list[float] = []
        order = torch.randperm(len(x), generator=generator, device=x.device)
        for rows in order.split(config.batch_size):
            losses = model.loss(x[rows], generator)
            optimizer.zero_grad(set_to_none=True)
            losses["total"].backward()
            optimizer.step()
            step = f"{label}, epoch {epoch + 1}, step {len(steps) + 1}"
            values = {name: finite(f"the loss {name!r}", float(value.detach()), step) for name, value in losses.items()}
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value * len(rows) / len(x)
            steps.append(values["reconstruction"])
        schedule.step()
        history.append({"epoch": epoch + 1, **sums, **({"steps": steps} if record_steps else {})})
    optimizer.zero_grad(set_to_none=True)  # a frozen tokenizer's old gradients would enter phase 2's clipping
    model.eval()
    model.finish(x)
    return history
